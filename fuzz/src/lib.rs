//! What must hold whatever bytes come from outside. One module per fuzz target; each has one function, `check`, which panics
//! where an invariant does not hold, and otherwise says what became of the input. `json` and `model` are written apart from the
//! program, so that a mistake in one does not hide in the other.

pub mod beams_token;
pub mod config;
pub mod credential;
pub mod device_line;
pub mod emulator;
pub mod filling;
pub mod gateway_response;
pub mod gateway_token;
pub mod heads;
pub mod json;
pub mod json_body;
pub mod model;
pub mod paths;
pub mod payload_translation;
pub mod publish_body;
pub mod publish_lines;
pub mod request_head;
pub mod verdict;
pub mod web_endpoint;
