//! What paths name, described once: `params(path::Instance, path::Device)`. Handlers take them apart by themselves.

use utoipa::IntoParams;

macro_rules! named {
    ($($name:ident: $field:ident, $what:literal;)*) => {$(
        #[derive(IntoParams)]
        #[into_params(parameter_in = Path)]
        pub(crate) struct $name {
            #[doc = $what]
            #[expect(dead_code, reason = "only described")]
            $field: String,
        }
    )*};
}

named! {
    Instance: instance, "The instance's UUID";
    Device: device, "The device's id";
    Gateway: platform, "apns, fcm or web";
    Webhook: webhook, "The webhook's UUID";
    Publish: publish, "The id of the publish";
    User: user, "The user's id, percent-encoded";
    Interest: interest, "The interest's name";
    Delivery: delivery, "The delivery's UUID";
}
