//! The page of the matrix: its filters, and where its cells lead.

use std::path::Path;

use crucible_book::workspace_root;
use serde_json::json;

use super::{Book, assert_no_violation};

/// The probes that are shown, and the columns, by their texts.
const SHOWN: &str = "const visible = element => element.checkVisibility();
    return [[...document.querySelectorAll('table.matrix tbody tr')].filter(visible).length,
        [...document.querySelectorAll('table.matrix thead th')].filter(visible).map(cell => cell.textContent).join(' ')]";
/// Chooses a value in the filter of a name.
const CHOOSE: &str = "const label = [...document.querySelectorAll('.matrix-filter label')]
        .find(label => label.textContent.startsWith(arguments[0]));
    const select = label.querySelector('select');
    select.value = arguments[1];
    select.dispatchEvent(new Event('change'));
    return select.value === arguments[1]";
/// The cell of a probe on a stage.
const CELL: &str = "const row = [...document.querySelectorAll('table.matrix tbody tr')]
        .find(row => row.querySelector('summary code').textContent === arguments[0]);
    const stages = [...document.querySelectorAll('table.matrix thead th')].map(cell => cell.textContent);
    const cell = row.cells[stages.indexOf(arguments[1])];
    cell.firstChild.focus();
    return [cell.className, cell.firstChild.title, document.activeElement === cell.firstChild]";
/// What the page shows below the heading of a probe: its verdicts and listings.
const SECTION: &str = "const target = document.querySelector(':target');
    const row = target.closest('tr');
    let at = row.closest('.table-wrapper'), text = '';
    const head = at.previousElementSibling.innerText;
    while ((at = at.nextElementSibling) && at.tagName !== 'H2') text += at.textContent;
    return [target.textContent, row.innerText, head, text]";

pub(crate) async fn cells_lead_to_probes(book: &Book) {
    book.width(1400).await;
    book.go("matrix.html").await;
    filters(book).await;
    assert_no_violation(book, "matrix").await;
    // Each kind of cell, of programs and of attacks on the server.
    for (probe, stage, cell, row, evidence, file) in [
        (
            "kernel/mount",
            "02",
            ("escaped", "escaped"),
            "nothing; it has to be contained from stage 04 on",
            "kernel",
            "probes/kernel/mount.py",
        ),
        (
            "kernel/mount",
            "05",
            ("contained", "refused"),
            "refused: The kernel refused",
            "kernel",
            "probes/kernel/mount.sh",
        ),
        (
            "secrets/kernel-version",
            "04",
            ("escaped", "escaped"),
            "A container shares the host's kernel",
            "canary-fact",
            "probes/secrets/kernel-version.py",
        ),
        (
            "traces/vsock",
            "01",
            ("other", "does not apply"),
            "nothing there to attack",
            "pair",
            "probes/traces/vsock.py",
        ),
        (
            "platform/slow-headers",
            "10",
            ("contained", "deadline"),
            "deadline: The platform closed",
            "http",
            "src/attack/http_attacks/slow.rs",
        ),
    ] {
        book.go("matrix.html").await;
        let found = book.browser.script(CELL, vec![probe.into(), stage.into()]).await;
        assert_eq!(found, json!([cell.0, cell.1, true]), "{probe}");
        book.browser.keys(super::browser::ENTER).await;
        let page = format!("probes-{}.html", probe.split('/').next().unwrap());
        let arrived = format!(
            "return location.pathname.endsWith('/{page}') && Boolean(document.querySelector(':target'))"
        );
        book.browser.wait_until(probe, &arrived).await;
        let section = book.browser.script(SECTION, vec![]).await;
        let [target, shown, head, programs]: [String; 4] = serde_json::from_value(section).unwrap();
        assert_eq!(target, stage, "{probe}");
        assert!(shown.contains(row), "{probe}: {shown}");
        assert!(head.contains(probe) && head.contains(evidence), "{head}");
        assert!(programs.contains(&format!("tests/{file}")), "{programs}");
        assert!(programs.contains(source(file).trim_end()), "{probe}: {programs}");
    }
    assert_no_violation(book, "probe").await;
}

/// The program as its file has it; of an attack on the server, its function.
fn source(file: &str) -> String {
    let text = std::fs::read_to_string(workspace_root().join("tests").join(file)).unwrap();
    if Path::new(file).extension().is_some_and(|extension| extension == "rs") {
        let (_, function) = text.split_once("// ANCHOR: slow-headers\n").unwrap();
        return function.split("// ANCHOR_END").next().unwrap().to_owned();
    }
    text
}

async fn filters(book: &Book) {
    let choose = async |name: &str, value: &str| {
        let chosen = book.browser.script(CHOOSE, vec![name.into(), value.into()]).await;
        assert_eq!(chosen, json!(true), "{name} has no {value:?}");
        let shown = book.browser.script(SHOWN, vec![]).await;
        serde_json::from_value::<(usize, String)>(shown).unwrap()
    };
    let (all, columns) = choose("Stage", "").await;
    assert!(all > 150 && columns == "probe 01 02 03 04 05 06 07 08 09 10", "{all} {columns}");
    let (_, columns) = choose("Stage", "04").await;
    assert_eq!(columns, "probe 04");
    let (escaped, _) = choose("Verdict", "escaped").await;
    let (of_kernel, _) = choose("Group", "secrets").await;
    assert!(of_kernel > 0 && of_kernel < escaped && escaped < all, "{of_kernel} {escaped} {all}");
    let (none, _) = choose("Held by", "refused").await;
    assert_eq!(none, 0, "what escapes is held by nothing");
    choose("Verdict", "contained").await;
    let (refused, _) = choose("Group", "kernel").await;
    assert!(refused > 10, "{refused}");
    for name in ["Stage", "Group", "Verdict", "Held by"] {
        choose(name, "").await;
    }
    assert_eq!(book.browser.script(SHOWN, vec![]).await[0], json!(all));
}
