//! `GET /environments`: what a submission may name.

use http::{Method, StatusCode};
use serde_json::{Value, json as value};
use shared::Bounds;
use shared::http::{Router, json};

use super::list::{self, Listed};
use super::{EnvironmentArgs, Selection};

/// The route, to be merged over those of the platform. What it lists is what the engine was started with.
pub fn environment_routes(args: &EnvironmentArgs, selection: &Selection) -> Router {
    let list = shown(args, selection);
    Router::new().route(Method::GET, "/environments", move |request| {
        let list = list.clone();
        async move {
            let [] = request.query([])?;
            json(StatusCode::OK, &list)
        }
    })
}

fn shown(args: &EnvironmentArgs, selection: &Selection) -> Value {
    let (dir, bounds) = (&args.environments_dir, &selection.bounds);
    let limits = |bounds: &Bounds| {
        value!({
            "memory_bytes": bounds.default.memory_bytes,
            "max_memory_bytes": bounds.max_memory_bytes,
            "pids": bounds.default.pids,
        })
    };
    let item = |listed: Listed| {
        let name = listed.name();
        let record = match &listed {
            Listed::Python => {
                let mut python = value!({
                    "name": name,
                    "state": "ready",
                    "description": "Python's standard library",
                    "file": "main.py",
                    "packages": ["python3"],
                    "limits": limits(bounds),
                });
                // Without a sandbox there are no files of its own.
                if let Some(digest) = &selection.sandbox.image_digest {
                    python["digest"] = Value::from(digest.as_str());
                }
                return python;
            }
            // The engine has what there was when it started.
            Listed::Built { record, .. } if selection.profiles.find(name).is_some() => record,
            Listed::Built { .. } | Listed::Missing { .. } => {
                return value!({ "name": name, "state": "missing" });
            }
        };
        let requirements = record.definition.requirements.iter();
        let requirements = requirements.filter_map(|one| one.split_ascii_whitespace().next());
        let debian = record.debian.iter().map(String::as_str);
        value!({
            "name": name,
            "state": "ready",
            "description": record.definition.description,
            "file": record.definition.file,
            "digest": record.digest,
            "packages": debian.chain(requirements).collect::<Vec<_>>(),
            "limits": limits(&record.environment(dir).bounds(bounds)),
        })
    };
    value!({ "items": list::list(args).into_iter().map(item).collect::<Vec<_>>() })
}
