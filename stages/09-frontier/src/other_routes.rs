//! The routes that are served beside those of evaluations.

use std::sync::Arc;

use shared::cli::Settings;
use shared::http::Router;
use stage_06_advanced::Platform;

use crate::accounts::Accounts;
use crate::args::FrontierArgs;
use crate::environments::{Selection, environment_routes};
use crate::security_test::SecurityTests;
use crate::store::StoreError;
use crate::web::web_routes;

/// Artifacts, sandboxes that stay, environments, security tests, administration and the web frontend.
///
/// # Errors
///
/// When the database cannot be written.
pub async fn other_routes(
    settings: &Settings,
    args: &FrontierArgs,
    accounts: &mut Accounts,
    (selection, platform): (&Selection, &Arc<Platform>),
) -> Result<Router, StoreError> {
    let sandboxes = accounts.sandboxes(&args.sandboxes, platform).await?;
    Ok(sandboxes
        .routes()
        .merge(accounts.artifacts(platform).routes())
        .merge(environment_routes(&args.environments, selection))
        .merge(SecurityTests::new(settings, args, accounts).routes())
        .merge(accounts.administration().routes())
        .merge(web_routes()))
}
