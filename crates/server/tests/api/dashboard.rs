//! `/` and all pages below it.

mod browser;
mod compose;
mod console;
mod forms;
mod numbers;
mod pages;
mod search;
mod sign_in;
mod strangers;
mod webhooks;
