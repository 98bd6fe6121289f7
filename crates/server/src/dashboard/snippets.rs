//! What to paste where: each official SDK, with this server's URL and the instance's id filled in.
//!
//! The secret key is never among it: a backend has it from its own secret store.

use domain::instance::InstanceId;
use url::Url;

/// How one SDK is pointed at this server.
pub(super) struct Snippet {
    /// What it is for.
    pub(super) title: &'static str,
    /// A remark, where there is something to know.
    pub(super) remark: String,
    /// The code.
    pub(super) code: String,
}

const PLACE: &str = "{URL}";
const INSTANCE: &str = "{INSTANCE}";

const CLIENTS: [(&str, &str, &str); 3] = [
    (
        "Web",
        "@pusher/push-notifications-web 2.1. The last two lines belong into /service-worker.js of your site.",
        "const beams = new PusherPushNotifications.Client({\n  instanceId: '{INSTANCE}',\n  endpointOverride: '{URL}',\n});\nawait beams.start();\nawait beams.setUserId('alice', new PusherPushNotifications.TokenProvider({ url: '/beams-auth' }));\n\n// service-worker.js\nimportScripts('https://js.pusher.com/beams/service-worker.js');\nPusherPushNotifications.endpointOverride = '{URL}';",
    ),
    (
        "Android",
        "com.pusher:push-notifications-android 1.9. The first part belongs into AndroidManifest.xml.",
        "<meta-data android:name=\"com.pusher.pushnotifications:override-host-url\"\n           android:value=\"{URL}/device_api/v1/\" />\n\nPushNotifications.start(applicationContext, \"{INSTANCE}\")\nPushNotifications.setUserId(\"alice\", tokenProvider, callback)",
    ),
    (
        "iOS and macOS",
        "push-notifications-swift 4.0 has no setting for the host: change the one constant in Sources/Extensions/URL+NetworkService.swift, or let the name resolve to this server.",
        "let beams = PushNotifications.shared\nbeams.start(instanceId: \"{INSTANCE}\")\nbeams.registerForRemoteNotifications()\nbeams.setUserId(\"alice\", tokenProvider: tokenProvider) { error in }",
    ),
];

const BACKENDS: [(&str, &str, &str); 9] = [
    (
        "curl",
        "",
        "curl -sS {URL}/publish_api/v1/instances/{INSTANCE}/publishes/users \\\n  -H \"Authorization: Bearer $SECRET_KEY\" -H 'Content-Type: application/json' \\\n  -d '{\"users\":[\"alice\"],\"web\":{\"notification\":{\"title\":\"Hello\",\"body\":\"from curl\"}}}'",
    ),
    (
        "Python",
        "pusher-push-notifications 2.0 always speaks https.",
        "beams = PushNotifications(instance_id='{INSTANCE}', secret_key=SECRET_KEY, endpoint='{HOST}')\nbeams.generate_token('alice')          # for your auth endpoint\nbeams.publish_to_users(['alice'], {'web': {'notification': {'title': 'Hello', 'body': 'from Python'}}})",
    ),
    (
        "Go",
        "",
        "beams, err := pushnotifications.New(\"{INSTANCE}\", secretKey,\n\tpushnotifications.WithCustomBaseURL(\"{URL}\"))\ntoken, err := beams.GenerateToken(\"alice\") // for your auth endpoint\nid, err := beams.PublishToUsers([]string{\"alice\"}, map[string]interface{}{\n\t\"web\": map[string]interface{}{\"notification\": map[string]interface{}{\"title\": \"Hello\"}},\n})",
    ),
    (
        "Ruby",
        "",
        "Pusher::PushNotifications.configure do |config|\n  config.instance_id = '{INSTANCE}'\n  config.secret_key = ENV.fetch('SECRET_KEY')\n  config.endpoint = '{URL}'\nend\nPusher::PushNotifications.publish_to_users(users: ['alice'], payload: { web: { notification: { title: 'Hello' } } })",
    ),
    (
        "PHP",
        "",
        "$beams = new \\Pusher\\PushNotifications\\PushNotifications([\n  'instanceId' => '{INSTANCE}', 'secretKey' => $secretKey, 'endpoint' => '{URL}',\n]);\n$beams->publishToUsers(['alice'], ['web' => ['notification' => ['title' => 'Hello']]]);",
    ),
    (
        "Java and Kotlin",
        "push-notifications-server-java 1.1 has no setting for the host: give the name of the instance’s Beams host, {INSTANCE}.pushnotifications.pusher.com, to this server in your network, or publish by HTTP as here. It signs Beams tokens without a network.",
        "var beams = new PushNotifications(\"{INSTANCE}\", secretKey);\nvar token = beams.generateToken(\"alice\"); // for your auth endpoint\n\nvar body = \"\"\"\n  {\"users\": [\"alice\"], \"web\": {\"notification\": {\"title\": \"Hello\", \"body\": \"from Java\"}}}\"\"\";\nHttpClient.newHttpClient().send(HttpRequest.newBuilder()\n    .uri(URI.create(\"{URL}/publish_api/v1/instances/{INSTANCE}/publishes/users\"))\n    .header(\"Authorization\", \"Bearer \" + secretKey).header(\"Content-Type\", \"application/json\")\n    .POST(HttpRequest.BodyPublishers.ofString(body)).build(), HttpResponse.BodyHandlers.ofString());",
    ),
    (
        "Swift",
        "push-notifications-server-swift has no setting for the host: give the name of the instance’s Beams host, {INSTANCE}.pushnotifications.pusher.com, to this server in your network. It signs Beams tokens without a network.",
        "import PushNotifications\n\nlet beams = PushNotifications(instanceId: \"{INSTANCE}\", secretKey: secretKey)\nbeams.generateToken(\"alice\") { result in } // for your auth endpoint\nbeams.publishToUsers([\"alice\"], [\"web\": [\"notification\": [\"title\": \"Hello\", \"body\": \"from Swift\"]]]) { result in\n    if case .failure(let error) = result { print(error) }\n}",
    ),
    (
        ".NET",
        "Any HTTP client does; Beams has no official SDK for .NET.",
        "var http = new HttpClient();\nhttp.DefaultRequestHeaders.Authorization = new(\"Bearer\", secretKey);\nawait http.PostAsJsonAsync(\"{URL}/publish_api/v1/instances/{INSTANCE}/publishes/users\", new {\n    users = new[] { \"alice\" },\n    web = new { notification = new { title = \"Hello\", body = \"from .NET\" } },\n});",
    ),
    (
        "Rust",
        "",
        "let beams = heliostat_client::Client::builder(\"{INSTANCE}\", secret_key).base_url(\"{URL}\").build()?;\nbeams.publish_to_users(&[\"alice\"], &json!({\"web\": {\"notification\": {\"title\": \"Hello\"}}})).await?;",
    ),
];

/// For apps, then for backends.
pub(super) fn all(url: &str, instance: InstanceId) -> (Vec<Snippet>, Vec<Snippet>) {
    let filled = |text: &str| {
        let text = text.replace("{HOST}", &host(url)).replace(PLACE, url);
        text.replace(INSTANCE, &instance.to_string())
    };
    let fill = |(title, remark, code): &(&'static str, &str, &str)| Snippet {
        title,
        remark: filled(remark),
        code: filled(code),
    };
    let clients = CLIENTS.iter().map(fill).collect();
    let mut backends: Vec<_> = BACKENDS.iter().map(fill).collect();
    backends.insert(1, node(url, instance));
    (clients, backends)
}

/// The Node SDK takes a bare host, and an endpoint of one's own turns https off.
fn node(url: &str, instance: InstanceId) -> Snippet {
    let parsed = Url::parse(url).ok();
    let name = parsed.as_ref().and_then(Url::host_str).unwrap_or_default();
    let port = parsed.as_ref().and_then(Url::port);
    let port = port.map_or_else(String::new, |port| format!(", port: {port}"));
    let protocol = if url.starts_with("https:") {
        "beams.protocol = 'https';\n"
    } else {
        ""
    };
    Snippet {
        title: "Node",
        remark: "@pusher/push-notifications-server 1.2.".to_owned(),
        code: format!(
            "const beams = new PushNotifications({{ instanceId: '{instance}', secretKey: process.env.SECRET_KEY, endpoint: '{name}'{port} }});\n\
             {protocol}\
             app.get('/beams-auth', (request, response) => response.json(beams.generateToken(request.session.userId)));\n\
             await beams.publishToUsers(['alice'], {{ web: {{ notification: {{ title: 'Hello', body: 'from Node' }} }} }});"
        ),
    }
}

fn host(url: &str) -> String {
    url.split_once("://")
        .map_or(url, |(_, host)| host)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_filled_in() {
        let id = InstanceId::random();
        let (clients, backends) = all("https://push.example.com:8443", id);
        for snippet in clients.iter().chain(&backends) {
            assert!(snippet.code.contains(&id.to_string()), "{}", snippet.title);
            for place in [PLACE, INSTANCE, "{HOST}"] {
                let left = snippet.code.contains(place) || snippet.remark.contains(place);
                assert!(!left, "{place} of {}", snippet.title);
            }
        }
        let node = backends
            .iter()
            .find(|snippet| snippet.title == "Node")
            .unwrap();
        assert!(
            node.code
                .contains("endpoint: 'push.example.com', port: 8443")
                && node.code.contains("protocol = 'https'")
        );
    }
}
