//! The member `environment` of a submission.

use std::sync::Arc;

use serde_json::Value;
use shared::submission::{FieldError, InvalidSubmission};
use shared::{Bounds, SandboxInfo, Submission, pointer};
use stage_06_advanced::{Environment, Profiles};

/// The member of a submission.
const MEMBER: &str = "environment";

/// What a submission may name.
#[derive(Debug, Clone)]
pub struct Selection {
    /// The default and the others.
    pub profiles: Profiles,
    /// The operator's bounds.
    pub bounds: Bounds,
    /// The sandbox of the default.
    pub sandbox: SandboxInfo,
}

impl Selection {
    /// One of `profiles`, within the operator's bounds.
    pub fn new(profiles: Profiles, bounds: Bounds, sandbox: SandboxInfo) -> Self {
        Self { profiles, bounds, sandbox }
    }

    /// The default alone.
    #[cfg(test)]
    pub(crate) fn for_test() -> Self {
        let bounds = Bounds {
            default: harness::TEST_LIMITS,
            max_timeout_seconds: 10.0,
            max_memory_bytes: 1 << 30,
            max_attempts: 1,
        };
        let sandbox = SandboxInfo {
            engine: "test".to_owned(),
            runtime: None,
            runtime_version: None,
            image_digest: None,
        };
        Self::new(Profiles::only(shared::profile::PYTHON), bounds, sandbox)
    }

    /// Takes the environment out of a submission on the wire, and puts its default limits there. None is the
    /// default.
    ///
    /// Attack: a name that is a path, or of a directory of the machine -> it is compared with a list.
    ///
    /// # Errors
    ///
    /// When there is none of this name, or the submission does not fit it.
    pub(crate) fn take(
        &self,
        submission: &mut Value,
    ) -> Result<Option<Arc<Environment>>, InvalidSubmission> {
        let Some(members) = submission.as_object_mut() else { return Ok(None) };
        let name = match members.shift_remove(MEMBER) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(name)) => name,
            Some(_) => return Err(invalid("", self.names())),
        };
        if name == self.profiles.default.name {
            return Ok(None);
        }
        let found = self.profiles.environment(&name);
        let environment = found.ok_or_else(|| invalid("", self.names()))?;
        let bounds = environment.bounds(&self.bounds);
        let memory = members.entry("memory_bytes").or_insert(Value::Null);
        if memory.is_null() {
            *memory = bounds.default.memory_bytes.into();
        } else if memory.as_f64().is_some_and(|bytes| bytes > to_f64(bounds.max_memory_bytes)) {
            let detail = format!("give at most {} bytes in {name}", bounds.max_memory_bytes);
            return Err(at("/memory_bytes", detail));
        }
        let main_file = &environment.profile.main_file;
        let is_main = |path: &&String| path.split('/').next() == Some(main_file);
        let files = members.get("files").and_then(Value::as_object);
        if let Some(path) = files.and_then(|files| files.keys().find(is_main)) {
            let detail = format!("choose another name: {main_file} is the code itself");
            return Err(at(&format!("/files/{}", pointer::escape(path)), detail));
        }
        Ok(Some(Arc::new(environment.clone())))
    }

    /// What exists, for people.
    fn names(&self) -> String {
        let others = self.profiles.environments.iter().map(|one| one.profile.name.as_ref());
        let names = std::iter::once(self.profiles.default.name.as_ref()).chain(others);
        format!("name one of: {}", names.collect::<Vec<_>>().join(", "))
    }
}

/// Puts an environment into a submission.
pub(crate) fn store_in(environment: &Environment, submission: &mut Submission) {
    submission.profile = environment.profile.name.clone().into_owned();
    submission.limits = environment.within(submission.limits);
}

#[allow(clippy::cast_precision_loss, reason = "a bound on memory, far below 2^52")]
fn to_f64(bytes: u64) -> f64 {
    bytes as f64
}

fn invalid(below: &str, detail: String) -> InvalidSubmission {
    at(&format!("/{MEMBER}{below}"), detail)
}

fn at(pointer: &str, detail: String) -> InvalidSubmission {
    let pointer = pointer.to_owned();
    InvalidSubmission::Invalid(vec![FieldError { part: None, pointer, detail }])
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::Profile;
    use shared::profile::PYTHON;
    use stage_06_advanced::EnvironmentUses;

    use super::*;

    fn selection() -> Selection {
        let environment = Environment {
            profile: Profile { name: "shell".into(), main_file: "main.sh".into(), ..PYTHON },
            image: "/x".into(),
            digest: String::new(),
            docker_image: None,
            variables: Vec::new(),
            is_python: false,
            executes_files: true,
            memory_bytes: 128 << 20,
            max_memory_bytes: 256 << 20,
            pids: 5,
            warm_sandboxes: 0,
            uses: EnvironmentUses::EVALUATIONS,
        };
        let profiles = Profiles { default: PYTHON, environments: vec![environment] };
        Selection { profiles, ..Selection::for_test() }
    }

    #[test]
    fn a_name_is_one_of_the_list() {
        let selection = selection();
        for name in [
            json!("../x"),
            json!("/etc"),
            json!("."),
            json!("ruby"),
            json!("shell/"),
            json!("SHELL"),
            json!(1),
            json!([]),
        ] {
            let error =
                selection.take(&mut json!({ "code": "", "environment": name })).unwrap_err();
            let InvalidSubmission::Invalid(errors) = error else { panic!("{name}") };
            assert_eq!(errors[0].pointer, "/environment", "{name}");
            assert_eq!(errors[0].detail, "name one of: python, shell");
        }
        for name in [json!("python"), json!(null)] {
            let mut body = json!({ "code": "", "environment": name });
            assert!(selection.take(&mut body).unwrap().is_none());
            assert_eq!(body, json!({ "code": "" }));
        }
    }

    #[test]
    fn an_environment_has_limits_and_a_file_of_its_own() {
        let selection = selection();
        let mut body = json!({ "code": "", "environment": "shell" });
        let environment = selection.take(&mut body).unwrap().unwrap();
        assert_eq!(body, json!({ "code": "", "memory_bytes": 128 << 20 }));
        let mut submission = Submission::new("", harness::TEST_LIMITS);
        store_in(&environment, &mut submission);
        assert_eq!((submission.profile.as_str(), submission.limits.pids), ("shell", 5));
        for (member, value, pointer) in [
            ("memory_bytes", json!(512 << 20), "/memory_bytes"),
            ("files", json!({ "main.sh/a": "" }), "/files/main.sh~1a"),
        ] {
            let mut body = json!({ "code": "", "environment": "shell" });
            body[member] = value;
            let InvalidSubmission::Invalid(errors) = selection.take(&mut body).unwrap_err() else {
                panic!("{member}")
            };
            assert_eq!(errors[0].pointer, pointer);
        }
    }
}
