//! What the operations of this stage need; those of stage 09 need what they needed.

use http::Method;
use stage_09_frontier::Access;

/// What a request for this method and template of a path needs.
pub fn required(method: &Method, template: &str) -> Access {
    stage_09_frontier::required(method, template)
}
