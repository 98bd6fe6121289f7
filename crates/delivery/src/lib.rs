//! How a publish becomes deliveries: plan, fan out, send, settle, retry.
