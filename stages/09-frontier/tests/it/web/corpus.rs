//! Texts that become something else in a page that is careless with them.

/// Each of them calls `pwned()`, leaves an element, or changes how a page reads, where it is not a text.
pub(crate) const TEXTS: &[&str] = &[
    "<script>pwned()</script>",
    "</pre></code></title></textarea></style></script><script>pwned()</script>",
    "<img src=x onerror=pwned()>",
    "<svg onload=pwned()>",
    "<svg><script href=data:,pwned() /></svg>",
    "<svg><animate onbegin=pwned() attributeName=x dur=1s>",
    "<math><mi xlink:href=javascript:pwned()>x</mi></math>",
    "<iframe srcdoc='<script>parent.pwned()</script>'></iframe>",
    "<iframe src=javascript:parent.pwned()></iframe>",
    "<object data=javascript:pwned()></object>",
    "<embed src=javascript:pwned()>",
    "<a href=javascript:pwned() id=planted>click</a>",
    "javascript:pwned()",
    "data:text/html,<script>pwned()</script>",
    "\" onmouseover=pwned() autofocus onfocus=pwned() x=\"",
    "' onmouseover=pwned() autofocus onfocus=pwned() x='",
    "<details open ontoggle=pwned()>",
    "<body onload=pwned()><base href=//other.test/>",
    "<form action=javascript:pwned()><button id=planted>x</button></form>",
    "<meta http-equiv=refresh content='0;url=javascript:pwned()'>",
    "<link rel=stylesheet href=//other.test/x.css><style>*{display:none}</style>",
    "<template shadowrootmode=open><script>pwned()</script></template>",
    "${pwned()}",
    "{{constructor.constructor('pwned()')()}}",
    "<%= pwned() %>",
    "#{pwned()}",
    "<!--><script>pwned()</script>-->",
    "<![CDATA[<script>pwned()</script>]]>",
    "&lt;script&gt;pwned()&lt;/script&gt;",
    "\\u003cscript\\u003epwned()\\u003c/script\\u003e",
    "__proto__",
    "constructor",
    "\u{202e}gnp.exe",
    "\u{2066}left\u{2069}\u{200f}right\u{feff}\u{200b}zero",
    "\u{e0041}\u{e0042}tags",
    "a\u{300}\u{301}\u{302}\u{303}\u{304}\u{305}\u{306}\u{307}\u{308}\u{309}",
];

/// The same for places that take control characters.
pub(crate) const CONTROLS: &[&str] = &[
    "\0<script>pwned()</script>",
    "\u{1b}[31mred\u{1b}]8;;javascript:pwned()\u{7}link\u{1b}]8;;\u{7}",
    "\u{1b}]0;title\u{7}\u{1b}[2J\u{9b}31m",
    "data: x\n\nevent: evaluation.completed\ndata: {}\n\n",
    "over\rwritten\u{8}\u{7f}",
];

/// Fails if one of the texts has become more than text.
pub(crate) const CHECK: &str = r#"
    const planted = [...document.querySelectorAll(
        "main script, main img:not(.artifact), main svg, main math, main iframe, main object, main embed, main base, " +
        "main meta, main style, main link, main template, #planted, [onerror], [onload], [onmouseover], [onfocus], " +
        "[ontoggle], [onbegin], [autofocus], head base, head meta[http-equiv], body > :not(#app):not(noscript)")]
        .map(found => found.outerHTML.slice(0, 200));
    const links = [...document.links].filter(link => !["http:", "blob:"].includes(link.protocol)).map(link => link.href);
    return { planted, links, pwned: window.wasPwned ?? false, scripts: document.scripts.length, polluted: ({}).polluted ?? null };
"#;

/// Lets a text that is carried out be noticed, whatever the page does afterwards.
pub(crate) const TRAP: &str =
    "window.pwned = () => { window.wasPwned = true; }; window.alert = window.pwned;";
