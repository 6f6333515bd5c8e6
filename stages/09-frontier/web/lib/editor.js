// The editor of programs: CodeMirror, for Python. It is loaded with the page that has it.

import {
  EditorState, EditorView, HighlightStyle, bracketMatching, defaultKeymap, drawSelection, highlightActiveLine,
  highlightSpecialChars, history, historyKeymap, indentLess, indentMore, indentOnInput, indentUnit, keymap, lineNumbers,
  python, syntaxHighlighting, tags,
} from "/web/vendor/codemirror.js";
import { html, useEffect, useRef } from "./ui.js";

const theme = EditorView.theme({
  "&": { border: "1px solid var(--line)", borderRadius: "4px", background: "var(--paper)", color: "var(--ink)" },
  "&.cm-focused": { outline: "3px solid var(--accent)", outlineOffset: "2px" },
  ".cm-scroller": { fontFamily: "var(--code)", fontSize: ".875rem", maxHeight: "60vh" },
  ".cm-content, .cm-gutter": { minHeight: "16rem" },
  ".cm-content": { caretColor: "var(--ink)" },
  ".cm-gutters": { background: "var(--raised)", color: "var(--faint)", borderRight: "1px solid var(--hair)" },
  ".cm-activeLine, .cm-activeLineGutter": { background: "transparent" },
  "&.cm-focused .cm-activeLine": { background: "color-mix(in srgb, var(--accent) 8%, transparent)" },
  ".cm-cursor": { borderLeftColor: "var(--ink)" },
  ".cm-selectionBackground, &.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground":
    { background: "color-mix(in srgb, var(--accent) 30%, transparent)" },
  ".cm-specialChar": { color: "var(--bad)" },
});

const colours = HighlightStyle.define([
  { tag: [tags.keyword, tags.controlKeyword, tags.operatorKeyword], color: "var(--keyword)" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--good)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--warn)" },
  { tag: [tags.comment], color: "var(--faint)", fontStyle: "italic" },
  { tag: [tags.function(tags.variableName), tags.definition(tags.variableName)], color: "var(--accent)" },
]);

// Tab indents; Escape and then Tab leaves the editor, as CodeMirror has it.
const extensions = ({ label, describedBy, onChange, onRun }) => [
  keymap.of([
    { key: "Mod-Enter", run: () => { onRun(); return true; } },
    { key: "Tab", run: indentMore, shift: indentLess },
    ...defaultKeymap, ...historyKeymap,
  ]),
  python(), syntaxHighlighting(colours), theme, history(), drawSelection(), lineNumbers(), bracketMatching(),
  indentOnInput(), indentUnit.of("    "), highlightActiveLine(), highlightSpecialChars(),
  EditorState.tabSize.of(4),
  EditorView.lineWrapping,
  EditorView.contentAttributes.of({ "aria-label": label, "aria-describedby": describedBy, spellcheck: "false" }),
  EditorView.updateListener.of(update => { if (update.docChanged) onChange(update.state.doc.toString()); }),
];

// `text` is what the editor begins with; another one replaces what is in it.
export function Editor({ text, label, describedBy, onChange, onRun }) {
  const element = useRef(null);
  const view = useRef(null);
  const latest = useRef({});
  latest.current = { onChange, onRun };
  useEffect(() => {
    view.current = new EditorView({
      parent: element.current,
      state: EditorState.create({
        doc: text,
        extensions: extensions({
          label, describedBy, onChange: changed => latest.current.onChange(changed), onRun: () => latest.current.onRun(),
        }),
      }),
    });
    return () => view.current.destroy();
  }, []);
  useEffect(() => {
    const { state } = view.current;
    if (state.doc.toString() === text) return;
    view.current.dispatch({ changes: { from: 0, to: state.doc.length, insert: text } });
  }, [text]);
  return html`<div class="editor" ref=${element}></div>`;
}
