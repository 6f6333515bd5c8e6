//! Tests of the quizzes: their data, and bad examples.

use super::*;
use crate::book_root;

const GOOD: &str = "question = 'Q?'\ntranscript = '02-burn'\nshows = '124'\nprogram = 'burn.py'\n\
    [[quiz.choice]]\nanswer = 'A'\nreason = 'R'\nright = true\n\
    [[quiz.choice]]\nanswer = 'B'\nreason = 'S'\n";
const TYPED: &str = "question = 'Q?'\ntranscript = '02-burn'\nshows = '124'\n\
    [quiz.text]\naccept = ['124', 'one \"two\"']\nright = 'R'\nwrong = 'S'\n";

fn quiz(text: &str) -> Quiz {
    let mut all: Quizzes = toml::from_str(&format!("[[quiz]]\n{text}")).unwrap();
    all.quiz.remove(0)
}

fn errors_of(text: &str) -> Vec<String> {
    quiz(text).errors(&book_root())
}

#[test]
fn every_quiz_of_the_book_is_sound_and_shown_by_a_transcript() {
    let pages = Pages::read(&book_root()).unwrap();
    let errors = errors(&pages, &read(&book_root()).unwrap());
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}

#[test]
fn a_malformed_quiz_is_an_error() {
    assert_eq!(errors_of(GOOD), [""; 0]);
    assert_eq!(errors_of(TYPED), [""; 0]);
    for (good, part, other, expected) in [
        (GOOD, "Q?", " ", "no question"),
        (GOOD, "reason = 'S'", "reason = ' '", "no reason"),
        (GOOD, "reason = 'S'", "reason = 'S'\nright = true", "2 answers are right"),
        (GOOD, "\nright = true", "", "0 answers are right"),
        (GOOD, "answer = 'B'", "answer = 'A'", "alike"),
        (GOOD, "answer = 'B'", "answer = ''", "alike"),
        (GOOD, "02-burn", "02-gone", "there is no transcripts/02-gone"),
        (GOOD, "shows = '124'", "shows = '125'", "prints \"125\""),
        (GOOD, "shows = '124'", "shows = '12'", "prints \"12\""),
        // It stands in the command, and is not printed.
        (GOOD, "shows = '124'", "shows = 'cpu-seconds'", "prints \"cpu-seconds\""),
        (GOOD, "burn.py", "gone.py", "there is no programs/gone.py"),
        (GOOD, "burn.py", "hello.py", "runs hello.py"),
        (TYPED, "wrong = 'S'", "wrong = ''", "no reason"),
        (TYPED, "['124', 'one \"two\"']", "[]", "accept needs answers"),
        (TYPED, "['124', 'one \"two\"']", "['Yes']", "accept needs answers"),
        (TYPED, "['124', 'one \"two\"']", "['a|b']", "accept needs answers"),
        (
            TYPED,
            "[quiz.text]",
            "[[quiz.choice]]\nanswer = 'A'\nreason = 'R'\n[quiz.text]",
            "take one",
        ),
    ] {
        assert!(good.contains(part), "{part}");
        let errors = errors_of(&good.replacen(part, other, 1));
        assert!(errors.iter().any(|error| error.contains(expected)), "{expected}: {errors:?}");
    }
    let (without, _) = TYPED.split_once("[quiz.text]").unwrap();
    assert!(errors_of(without)[0].contains("takes no answer"));
    let (first, _) = GOOD.split_once("[[quiz.choice]]\nanswer = 'B'").unwrap();
    assert!(errors_of(first)[0].contains("one choice"));
    let unknown = toml::from_str::<Quizzes>(&format!("[[quiz]]\n{GOOD}hint = 'x'\n"));
    assert!(unknown.unwrap_err().to_string().contains("hint"));
}

#[test]
fn a_chapter_has_its_own_quizzes_once() {
    let book = tempfile::tempdir().unwrap();
    let errors_of = |text: &str, stage: &str| {
        let texts = [("01-x.md".into(), text.to_owned())].into();
        let pages = Pages { book: book.path().to_path_buf(), texts };
        let none = Quizzes { quiz: Vec::new() };
        errors(&pages, &[(stage.to_owned(), none)].into()).join("\n")
    };
    assert!(!errors_of("<!-- quiz 01 -->", "01").contains("put <!--"));
    for bad in ["", "<!-- quiz 02 -->", "<!-- quiz 01 --> <!-- quiz 01 -->"] {
        assert!(errors_of(bad, "01").contains("put <!-- quiz 01 --> into it, once"), "{bad}");
    }
    assert!(errors_of("<!-- quiz 01 -->", "01").contains("0 quizzes, of at least 2"));
    assert!(errors_of("<!-- quiz 01 -->", "11").contains("no chapter of this number"));
}

#[test]
fn a_mark_becomes_a_question_with_a_folded_answer() {
    let quizzes = Quizzes { quiz: vec![quiz(GOOD), quiz(TYPED)] };
    let page = expand("# C\n\n<!-- quiz 02 -->\n\n## Next\n", &[("02".to_owned(), quizzes)].into());
    for part in [
        "<div class=\"quiz\" id=\"quiz-02-1\" data-right=\"1\">\n\n**Quiz 1.** Q?\n",
        "{{#include ../programs/burn.py}}",
        "1. A\n2. B\n\n<details class=\"quiz-answer\">",
        "1. **Right.** R\n2. **Wrong.** S\n",
        "{{#include ../transcripts/02-burn.console}}",
        "data-accept=\"124|one &quot;two&quot;\"",
        "1. **Right**: `124`. R\n2. **Wrong.** S\n",
        "</div>\n\n## Next",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert_eq!(expand("<!-- quiz 03 -->", &BTreeMap::new()), "<!-- quiz 03 -->");
}
