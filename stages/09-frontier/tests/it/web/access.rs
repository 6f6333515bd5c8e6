//! Keys in the frontend: asked for, kept in the tab, refused; and the pages of administrators.

use super::Web;
use crate::accounts::Site;

impl Web {
    /// Types a key into the form of the frame.
    pub(crate) async fn use_key(&self, key: &str) {
        if self.browser.count("form.key").await == 0 {
            self.browser.click("header .tools button[aria-expanded]").await;
        }
        self.browser.type_into("form.key input", key).await;
        self.browser.press("Use it").await;
        self.browser.wait_text("header button", "Key set").await;
    }
}

async fn with_keys() -> (Web, String, String) {
    let site = Site::new();
    let (admin, reader) = (site.key("admin", &["admin"]), site.key("reader", &["read"]));
    let server = site.launch().arg("--strict-contract").start();
    (Web::on(site, server).await, admin, reader)
}

#[tokio::test]
async fn a_key_is_asked_for_and_kept_in_the_tab() {
    let (web, admin, _) = with_keys().await;
    web.open("list").await;
    web.browser.wait_text("form.key", "wants a valid key").await;
    web.browser.type_into("form.key input", "crk_wrong").await;
    web.browser.press("Use it").await;
    web.browser.wait_text("form.key", "this one is not").await;
    web.use_key(&admin).await;
    web.browser.wait_text("main", "No evaluation").await;
    // It is not in the address, not in a cookie, and in no storage that outlives the tab.
    let kept = "return location.href + document.cookie + JSON.stringify(localStorage)";
    let kept = web.browser.script(kept, vec![]).await.to_string();
    assert!(!kept.contains("crk_"), "{kept}");
    web.browser.reload().await;
    web.browser.wait_text("main", "No evaluation").await;
    web.browser.finish_expecting(&["401"]).await;
}

#[tokio::test]
async fn administrators_see_keys_and_the_audit_log_and_others_are_refused() {
    let (web, admin, reader) = with_keys().await;
    web.use_key(&reader).await;
    for page in ["keys", "audit"] {
        web.open(page).await;
        web.browser.wait_text("main .failure", "scope admin").await;
    }
    web.use_key(&admin).await;
    web.open("keys").await;
    web.browser.wait_text("main td", "active").await;
    web.browser.wait_text("main th", "reader").await;
    web.browser.screenshot("keys").await;
    web.open("audit").await;
    web.browser.wait_text("main td", "key.create").await;
    web.browser.wait_text("main td", "access.refuse").await;
    web.browser.screenshot("audit").await;
    web.browser.finish_expecting(&["403"]).await;
}
