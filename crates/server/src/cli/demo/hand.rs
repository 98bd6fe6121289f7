//! How to go on by hand: commands that can be copied as they are.

use std::path::PathBuf;

use serde_json::json;

use super::screen::Screen;
use super::stage::Stage;
use super::story::{INTEREST, USER, payload};
use crate::cli::failure::Failure;

/// Prints how to publish with curl and with this program.
pub(super) fn explain(stage: &Stage, screen: &Screen) -> Result<(), Failure> {
    let (url, instance, key) = (
        stage.url(),
        stage.instance.id,
        stage.instance.secret_key.reveal(),
    );
    let mut body = payload("Hello", "from curl");
    if let Some(body) = body.as_object_mut() {
        body.insert("users".into(), json!([USER]));
    }
    screen.step("Now you. From another terminal, publish to the user with curl")?;
    screen.text(format_args!(
        "\ncurl -sS {url}/publish_api/v1/instances/{instance}/publishes/users \\\n  \
         -H 'Authorization: Bearer {key}' \\\n  -H 'Content-Type: application/json' \\\n  -d '{body}'\n\n\
         or to the interest with this program:\n\n\
         echo '{}' | \\\n  {} publish --server {url} --instance {instance} \\\n  \
         --secret-key {key} \\\n  --interest {INTEREST} --payload -\n\n\
         or in a browser (later with the admin token {}):\n\n{}\n\n\
         What arrives is shown here. Ctrl-C ends the demo.\n",
        payload("Hello", "from the command line"),
        program().display(),
        stage.admin_token,
        stage.link,
    ))
}

/// This program as it can be typed here.
fn program() -> PathBuf {
    let Ok(program) = std::env::current_exe() else {
        return PathBuf::from("heliostat");
    };
    let here = std::env::current_dir().ok();
    match here.and_then(|here| program.strip_prefix(here).map(PathBuf::from).ok()) {
        Some(below) => below,
        None => program,
    }
}
