"""Text of a stranger as a calculation."""
import ast
import operator

SECRET = "hunter2"
TEXT = "__import__('builtins').print('never:   it printed', SECRET) or 42"


def never(text):
    return eval(text)


def instead(text):
    """Numbers, and four operations on them. Everything else is refused."""
    operations = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}

    def value(node):
        match node:
            case ast.Constant(value=int() | float() as number):
                return number
            case ast.BinOp(left=left, op=op, right=right) if type(op) in operations:
                return operations[type(op)](value(left), value(right))
        raise ValueError(f"{type(node).__name__} is no calculation")

    return value(ast.parse(text, mode="eval").body)


never(TEXT)
print("instead:", instead("6 * 7"))
try:
    instead(TEXT)
except ValueError as refused:
    print("instead:", refused)
