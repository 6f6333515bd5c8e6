//! The image's files: their digest is evidence, and a change in them ends the work.

use std::path::{Path, PathBuf};
use std::process::Command;

use harness::TEST_LIMITS;
use shared::{Engine as _, Hint as _, TestableComponent as _};
use stage_06_advanced::{ROOTFS_PIN, RunscEngine, RunscError, RunscOptions};

use super::close;

/// A copy of the image that set-up has unpacked, with the list of its files.
fn copy(to: &Path) -> PathBuf {
    let image =
        std::fs::read_to_string(ROOTFS_PIN).expect("run infrastructure/setup/setup.sh first");
    let (image, copy) = (image.trim(), to.join("rootfs"));
    let status = Command::new("cp").arg("-a").arg(image).arg(&copy).status().unwrap();
    assert!(status.success());
    std::fs::copy(format!("{image}.manifest"), to.join("rootfs.manifest")).unwrap();
    copy
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_of_the_image_is_noticed_and_named() {
    // Other users have to be able to enter it.
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let public = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.path(), public).unwrap();
    let image = copy(dir.path());
    let options =
        RunscOptions { rootfs: Some(image.clone()), warm_sandboxes: 0, ..RunscOptions::default() };
    let engine = RunscEngine::start(&options, TEST_LIMITS).await.unwrap();
    let original = super::engine(0).await;
    let digest = engine.sandbox().image_digest.unwrap();
    assert!(digest.starts_with("sha256:") && digest.len() == 71, "{digest}");
    assert_eq!(Some(digest), original.sandbox().image_digest, "the same files");
    engine.self_test().await.unwrap();

    let module = image.join("usr/lib/python3.11/this.py");
    std::fs::write(&module, "print('another poem')").unwrap();
    let error = engine.self_test().await.unwrap_err().to_string();
    assert_eq!(error, "the sandbox image's files have changed");
    close(engine).await;
    close(original).await;

    let error = RunscEngine::start(&options, TEST_LIMITS).await.err().unwrap();
    let RunscError::NoRootfs { reason, .. } = &error else { panic!("{error:?}") };
    assert_eq!(reason.to_string(), "usr/lib/python3.11/this.py is not what set-up has unpacked");
    assert!(error.hint().unwrap().contains("run infrastructure/setup/setup.sh"), "{error}");
    std::fs::remove_file(dir.path().join("rootfs.manifest")).unwrap();
    let error = RunscEngine::start(&options, TEST_LIMITS).await.err().unwrap();
    assert!(error.hint().unwrap().contains("run infrastructure/setup/setup.sh"), "{error}");
}
