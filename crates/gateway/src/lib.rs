//! How Heliostat reaches devices: APNs, FCM and Web Push behind one send call.
