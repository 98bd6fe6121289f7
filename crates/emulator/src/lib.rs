//! APNs, FCM and a Web Push service to develop against, over real TLS and HTTP/2.
