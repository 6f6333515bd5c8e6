//! Debian's Chromium through `WebDriver`: one driver and one browser for each test.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use harness::eventually_some;
use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::LoggingPrefsLogLevel;
use thirtyfour::prelude::*;

/// How long a page may take to show what a test waits for, on a machine that is busy.
const PAGE_TIMEOUT: Duration = Duration::from_mins(1);

/// The form of a submission asks for environments before a person has given a key.
const WITHOUT_KEY: &str =
    "/environments - Failed to load resource: the server responded with a status of 401";

/// Keys, as `WebDriver` has them.
pub(crate) const TAB: &str = "\u{e004}";
pub(crate) const ENTER: &str = "\u{e007}";
pub(crate) const ESCAPE: &str = "\u{e00c}";

/// A browser, and what it has reported so far.
pub(crate) struct Browser {
    driver: WebDriver,
    /// After the driver, which ends its session when it is dropped.
    _process: DriverProcess,
    _home: TempDir,
}

/// How many ports are tried.
const MAX_PORTS: usize = 5;

/// `chromedriver`, ended by its process id.
struct DriverProcess(Child, u16);

impl Drop for DriverProcess {
    fn drop(&mut self) {
        // It ends its browser with it, also when a test has failed and the session is still there.
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.1)) {
            stream.set_read_timeout(Some(Duration::from_secs(10))).ok();
            stream.write_all(b"GET /shutdown HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").ok();
            stream.read_to_end(&mut Vec::new()).ok();
        }
        self.0.kill().ok(); // it may have ended
        self.0.wait().ok();
    }
}

impl DriverProcess {
    /// Starts it. It chooses a port that is free for IPv6, and ends when another process has the same one for IPv4.
    fn start(home: &Path) -> (Self, String) {
        let mut printed = String::new();
        for _ in 0..MAX_PORTS {
            match Self::try_start(home) {
                Ok(started) => return started,
                Err(output) => printed = output,
            }
        }
        panic!("chromedriver does not start: {printed}");
    }

    /// What it has printed, unless that is the port on which it has started.
    fn try_start(home: &Path) -> Result<(Self, String), String> {
        let mut child = Command::new("chromedriver")
            .arg("--port=0")
            .env("HOME", home)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is installed by infrastructure/setup/setup.sh --with-tests");
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut process = Self(child, 0);
        let mut printed = String::new();
        for line in output.lines().map_while(Result::ok) {
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                process.1 = port.trim().trim_end_matches('.').parse().unwrap();
                let url = format!("http://127.0.0.1:{}", process.1);
                return Ok((process, url));
            }
            printed.push_str(&line);
            printed.push('\n');
        }
        Err(printed)
    }
}

impl Browser {
    /// A window of 1400 by 1000 pixels, in the zone of Kolkata: local times differ from UTC.
    pub(crate) async fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let (process, url) = DriverProcess::start(home.path());
        let mut wanted = DesiredCapabilities::chrome();
        for argument in [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--force-device-scale-factor=1",
            "--window-size=1400,1000",
            // Only this machine, as without a network. `other.test` is a name that an attacker rebinds.
            "--host-resolver-rules=MAP other.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        ] {
            wanted.add_arg(argument).unwrap();
        }
        wanted.add_arg(&format!("--user-data-dir={}", home.path().join("p").display())).unwrap();
        wanted.set_browser_log_level(LoggingPrefsLogLevel::All).unwrap();
        let driver = WebDriver::new(&url, wanted).await.unwrap();
        let browser = Self { driver, _process: process, _home: home };
        browser
            .devtools("Emulation.setTimezoneOverride", json!({"timezoneId": "Asia/Kolkata"}))
            .await;
        browser
    }

    /// Calls a command of the `DevTools` protocol.
    pub(crate) async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.driver.cdp().send_raw(command, parameters).await.unwrap()
    }

    /// Goes to an address.
    pub(crate) async fn goto(&self, url: &str) {
        self.driver.goto(url).await.unwrap();
    }

    /// Loads the page again.
    pub(crate) async fn reload(&self) {
        self.driver.refresh().await.unwrap();
    }

    /// What a script returns.
    pub(crate) async fn script(&self, script: &str, arguments: Vec<Value>) -> Value {
        self.driver.execute(script, arguments).await.unwrap().json().clone()
    }

    /// What a script gives to `arguments.at(-1)`.
    pub(crate) async fn async_script(&self, script: &str) -> Value {
        self.driver.execute_async(script, vec![]).await.unwrap().json().clone()
    }

    /// The text of the first element of this selector, as a person reads it. None without one.
    pub(crate) async fn text(&self, selector: &str) -> Option<String> {
        let script = "return document.querySelector(arguments[0])?.innerText ?? null";
        self.script(script, vec![selector.into()]).await.as_str().map(str::to_owned)
    }

    /// How many elements there are of this selector.
    pub(crate) async fn count(&self, selector: &str) -> u64 {
        let script = "return document.querySelectorAll(arguments[0]).length";
        self.script(script, vec![selector.into()]).await.as_u64().unwrap()
    }

    /// Waits until a script returns what is true.
    pub(crate) async fn wait_until(&self, what: &str, script: &str) -> Value {
        let holds = async || {
            let value = self.script(script, vec![]).await;
            (!matches!(value, Value::Null | Value::Bool(false))).then_some(value)
        };
        eventually_some(what, PAGE_TIMEOUT, holds).await
    }

    /// Waits for an element of this selector whose text has `part`, and returns the text.
    pub(crate) async fn wait_text(&self, selector: &str, part: &str) -> String {
        let script =
            "return [...document.querySelectorAll(arguments[0])].map(found => found.innerText)
            .find(text => text.includes(arguments[1])) ?? null";
        let what = format!("{selector} with {part:?}");
        let holds = async || {
            let found = self.script(script, vec![selector.into(), part.into()]).await;
            found.as_str().map(str::to_owned)
        };
        eventually_some(&what, PAGE_TIMEOUT, holds).await
    }

    /// Waits for an element of this selector.
    pub(crate) async fn wait(&self, selector: &str) {
        self.wait_text(selector, "").await;
    }

    /// Clicks the first element of this selector, once it is there.
    pub(crate) async fn click(&self, selector: &str) {
        self.wait(selector).await;
        let element = self.driver.find(By::Css(selector)).await.unwrap();
        element.scroll_into_view().await.unwrap();
        element.click().await.unwrap();
    }

    /// Clicks the button or link with this text, once it is there and enabled.
    pub(crate) async fn press(&self, text: &str) {
        let script = "const found = [...document.querySelectorAll('button, a')].find(found =>
            found.innerText.trim() === arguments[0] && !found.disabled);
            found?.click(); return Boolean(found)";
        let pressed =
            async || self.script(script, vec![text.into()]).await.as_bool().filter(|found| *found);
        eventually_some(&format!("a button {text:?}"), PAGE_TIMEOUT, pressed).await;
    }

    /// Types into the element of this selector.
    pub(crate) async fn type_into(&self, selector: &str, text: &str) {
        self.wait(selector).await;
        self.driver.find(By::Css(selector)).await.unwrap().send_keys(text).await.unwrap();
    }

    /// Presses keys, wherever the focus is.
    pub(crate) async fn keys(&self, keys: impl AsRef<str>) {
        self.driver.action_chain().send_keys(keys.as_ref()).perform().await.unwrap();
    }

    /// Presses a key while another is held down.
    pub(crate) async fn chord(&self, held: Key, key: &str) {
        let chain = self.driver.action_chain().key_down(held.clone());
        chain.send_keys(key).key_up(held).perform().await.unwrap();
    }

    /// A picture of the window, as `target/screenshots/NAME.png`.
    pub(crate) async fn screenshot(&self, name: &str) {
        let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
        let root = above.into_iter().find(|path| path.join("Cargo.lock").exists()).unwrap();
        let directory = root.join("target/screenshots");
        std::fs::create_dir_all(&directory).unwrap();
        self.driver.screenshot(&directory.join(format!("{name}.png"))).await.unwrap();
    }

    /// What the browser has reported since this was called last: errors of scripts, violations of the
    /// policy, requests that have failed.
    pub(crate) async fn reports(&self) -> Vec<String> {
        let log = self.driver.browser_log().await.unwrap();
        let bad =
            log.into_iter().filter(|entry| entry.level == "SEVERE" || entry.level == "WARNING");
        bad.map(|entry| entry.message).collect()
    }

    /// Ends the browser. It must have reported nothing but what has one of `expected` in it.
    pub(crate) async fn finish_expecting(self, expected: &[&str]) {
        let reports = self.reports().await;
        self.driver.clone().quit().await.unwrap();
        let is_expected = |report: &&String| {
            expected.iter().chain([&WITHOUT_KEY]).any(|part| report.contains(part))
        };
        let unexpected: Vec<_> = reports.iter().filter(|report| !is_expected(report)).collect();
        assert!(unexpected.is_empty(), "{unexpected:#?}");
    }

    /// Ends the browser, which must have reported nothing.
    pub(crate) async fn finish(self) {
        self.finish_expecting(&[]).await;
    }
}
