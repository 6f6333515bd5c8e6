//! A response as readable lines, without values that differ in every run.

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::redact::{self, Names};

/// The headers that belong to the API; the others depend on the HTTP server.
const HEADERS: [&str; 7] = [
    "content-type",
    "location",
    "preference-applied",
    "retry-after",
    "allow",
    "www-authenticate",
    "idempotency-key",
];
/// The maximum length of a line of JSON.
const MAX_WIDTH: usize = 88;

/// A response.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    /// The status.
    pub status: StatusCode,
    /// All headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body, where it is JSON.
    pub(super) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Its lines.
    pub(super) fn lines(&self, names: &Names) -> Vec<String> {
        let mut lines = vec![self.status.to_string()];
        for name in HEADERS.into_iter().filter(|name| !self.header(name).is_empty()) {
            lines.push(format!("{name}: {}", self.header(name)));
        }
        let text = String::from_utf8_lossy(&self.body);
        let media = self.header("content-type").split(';').next().unwrap_or_default().trim();
        match (media, self.json()) {
            ("text/event-stream", _) => lines.extend(events(&text)),
            ("application/openmetrics-text", _) => lines.extend(samples(&text)),
            (_, Some(mut value)) => {
                redact::json(&mut value);
                lines.extend(laid_out(&value, 0, ""));
            }
            _ => lines.extend(beginning(&text)),
        }
        let shown = lines.into_iter().map(|line| redact::text(&line, names));
        shown.map(|line| line.trim_end().to_owned()).collect()
    }
}

/// The first line of a page or a document, which identifies it.
fn beginning(text: &str) -> Vec<String> {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let first = lines.next().map(|line| line.chars().take(MAX_WIDTH).collect());
    let more = lines.next().map(|_| "...".to_owned());
    first.into_iter().chain(more).collect()
}

/// The samples of Prometheus' text format, without the buckets of its histograms.
fn samples(text: &str) -> Vec<String> {
    let plain = |line: &&str| !line.starts_with('#') && !line.contains("_bucket{");
    let mut lines: Vec<String> = text.lines().filter(plain).map(ToOwned::to_owned).collect();
    // The members of a metric family have no fixed order.
    lines.sort();
    lines
}

/// Type and data of each Server-Sent Event. Output events are joined: how output is split depends
/// on the moment at which it is read.
fn events(text: &str) -> Vec<String> {
    let mut events: Vec<(String, Value)> = Vec::new();
    for block in text.split("\n\n") {
        let field = |name| block.lines().find_map(|line| line.strip_prefix(name));
        let Some(kind) = field("event: ") else { continue };
        let envelope: Value = serde_json::from_str(field("data: ").unwrap_or_default())
            .unwrap_or_else(|_| "no JSON".into());
        let data = envelope.get("data").unwrap_or(&envelope).clone();
        if let Some((last, before)) = events.last_mut()
            && last == kind
            && before["stream"].is_string()
            && before["stream"] == data["stream"]
        {
            let whole =
                [&before["text"], &data["text"]].map(|text| text.as_str().unwrap_or_default());
            before["text"] = whole.concat().into();
            continue;
        }
        events.push((kind.to_owned(), data));
    }
    let lines = events.into_iter().flat_map(|(kind, mut data)| {
        redact::json(&mut data);
        let data = laid_out(&data, 0, "");
        std::iter::once(format!("event: {kind}")).chain(data)
    });
    lines.collect()
}

/// JSON on one line if it fits, else with a line for each member.
fn laid_out(value: &Value, indent: usize, name: &str) -> Vec<String> {
    let margin = " ".repeat(indent);
    let name = if name.is_empty() { String::new() } else { format!("{}: ", Value::from(name)) };
    let short = value.to_string();
    let (open, inner, close) = match value {
        Value::Object(members) if margin.len() + name.len() + short.len() > MAX_WIDTH => {
            let inner: Vec<_> =
                members.iter().map(|(name, value)| laid_out(value, indent + 2, name)).collect();
            ('{', inner, '}')
        }
        Value::Array(values) if margin.len() + name.len() + short.len() > MAX_WIDTH => {
            let inner: Vec<_> =
                values.iter().map(|value| laid_out(value, indent + 2, "")).collect();
            ('[', inner, ']')
        }
        _ => return vec![format!("{margin}{name}{short}")],
    };
    let mut lines = vec![format!("{margin}{name}{open}")];
    lines.extend(inner.into_iter().flatten());
    lines.push(format!("{margin}{close}"));
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(media: &'static str, body: &str) -> Vec<String> {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", reqwest::header::HeaderValue::from_static(media));
        headers.insert("date", reqwest::header::HeaderValue::from_static("today"));
        let answer = Answer { status: StatusCode::OK, headers, body: body.into() };
        answer.lines(&Names::new())
    }

    #[test]
    fn output_in_pieces_is_one_event() {
        let event = |stream: &str, text: &str| {
            let data = json!({"data": {"stream": stream, "offset": 0, "text": text}});
            format!("event: evaluation.progress\ndata: {data}\nid: 1\n\n")
        };
        let pieces = [event("stdout", "1\n"), ": still here\n\n".into(), event("stdout", "2\n")];
        let whole = event("stdout", "1\n2\n");
        let shown = answer("text/event-stream", &pieces.concat());
        assert_eq!(shown, answer("text/event-stream", &whole));
        assert_eq!(shown.len(), 4, "{shown:?}");
        let two = event("stdout", "1") + &event("stderr", "2");
        assert_eq!(answer("text/event-stream", &two).len(), 6);
    }

    #[test]
    fn short_json_is_one_line_and_long_json_is_many() {
        let short = answer("application/json", r#"{"status": "alive"}"#);
        assert_eq!(short[2..], [r#"{"status":"alive"}"#]);
        let long = json!({"a": "x".repeat(60), "b": {"c": "y".repeat(60)}}).to_string();
        assert_eq!(answer("application/json", &long).len(), 6);
    }

    #[test]
    fn of_metrics_the_samples_are_shown_and_of_a_page_its_beginning() {
        let text = "# TYPE b counter\nb_total 2\na_bucket{le=\"1\"} 3\na_count 3\n# EOF\n";
        let shown = answer("application/openmetrics-text; version=1.0.0", text);
        assert_eq!(shown[2..], ["a_count 3", "b_total 2"]);
        let shown = answer("text/html", "<!doctype html>\n<title>x</title>\n");
        assert_eq!(shown[2..], ["<!doctype html>", "..."]);
    }
}
