//! Seals what a store keeps of an instance, and opens it again.
//!
//! Each sealed value is bound to what it is and whose it is, so a value copied to another row, or another instance, does
//! not open there.

use domain::clock::Timestamp;
use domain::credential::{Credential, InvalidCredential};
use domain::device::Platform;
use domain::instance::{InstanceId, InstanceName, SecretKey};
use domain::jws::Es256Key;
use domain::publish::{OwnWebhook, PublishId};
use domain::seal::{KeyId, Keyring, SealError, Sealed};
use domain::webhook::{PublishWebhookUrl, WebhookId, WebhookSecret};
use gateway::Token;
use store::instances::{
    CredentialRecord, InstanceRecord, NewCredential, NewInstance, NewSecretKey, SecretKeyRecord,
};
use store::sealing::SealedPlace;
use store::webhooks::{PublishWebhook, WebhookRecord};
use zeroize::Zeroizing;

use crate::shelf;

/// How many characters of a secret key may be shown.
const HINT_LENGTH: usize = 4;

/// Why something sealed could not be used.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// It does not open.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// It opens, and what is in it is of no use: written by a newer Heliostat, or damaged before it was sealed.
    #[error("a sealed credential makes no sense: {0}")]
    Credential(#[from] InvalidCredential),
    /// A sealed key opens, and is none.
    #[error("a sealed key makes no sense")]
    Key,
}

/// The master keys, and what they are for.
#[derive(Debug, Clone)]
pub struct Vault(Keyring);

impl Vault {
    /// A vault under these keys.
    pub fn new(keys: impl Into<Keyring>) -> Self {
        Self(keys.into())
    }

    /// The master keys' ids, the one that seals first.
    pub fn key_ids(&self) -> Vec<KeyId> {
        self.0.ids()
    }

    /// Whether a value is under the key that seals, and says so.
    pub fn is_current(&self, sealed: &Sealed) -> bool {
        self.0.is_current(sealed)
    }

    /// What a store keeps sealed at a place, under the key that seals.
    pub fn reseal(&self, place: &SealedPlace, sealed: &Sealed) -> Result<Sealed, SealError> {
        let context = match place {
            SealedPlace::VapidKey(instance) => vapid_context(*instance),
            SealedPlace::SecretKey(instance) => secret_key_context(*instance),
            SealedPlace::Credential(instance, platform) => credential_context(*instance, *platform),
            SealedPlace::WebhookSecret(instance, webhook) => webhook_context(*instance, *webhook),
            SealedPlace::PublishWebhook(publish) => brought_context(*publish),
            SealedPlace::ProviderToken(name) => token_context(name.as_str()),
        };
        let plain = self.0.open(&context, sealed)?;
        self.0.seal(&context, &plain)
    }

    /// An instance to be created, with a VAPID key pair of its own.
    pub fn new_instance(
        &self,
        id: InstanceId,
        name: InstanceName,
        secret_key: &SecretKey,
        now: Timestamp,
    ) -> Result<NewInstance, SealError> {
        let vapid = Es256Key::generate().map_err(|_| SealError::Failed)?;
        Ok(NewInstance {
            id,
            name,
            vapid_public_key: vapid.public_key().to_vec(),
            vapid_private_key: self.0.seal(&vapid_context(id), vapid.pkcs8())?,
            secret_key: self.new_secret_key(id, secret_key, now)?,
            created_at: now,
        })
    }

    /// A secret key to be added.
    pub fn new_secret_key(
        &self,
        instance: InstanceId,
        key: &SecretKey,
        now: Timestamp,
    ) -> Result<NewSecretKey, SealError> {
        let text = key.reveal();
        // A short key would be given away by its hint.
        let hint = if text.len() >= 4 * HINT_LENGTH {
            &text[text.len() - HINT_LENGTH..]
        } else {
            ""
        };
        let sealed = self
            .0
            .seal(&secret_key_context(instance), text.as_bytes())?;
        Ok(NewSecretKey {
            sealed,
            hint: format!("…{hint}"),
            created_at: now,
        })
    }

    /// A gateway credential to be set.
    pub fn new_credential(
        &self,
        instance: InstanceId,
        credential: &Credential,
        now: Timestamp,
    ) -> Result<NewCredential, SealError> {
        let platform = credential.platform();
        let sealed = self.0.seal(
            &credential_context(instance, platform),
            &credential.to_stored(),
        )?;
        Ok(NewCredential {
            platform,
            sealed,
            summary: credential.summary(),
            set_at: now,
        })
    }

    /// Seals a note of the server to itself, such as who is signed in. It opens for the same purpose alone.
    pub fn seal_note(&self, purpose: &str, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let sealed = self.0.seal(&note_context(purpose), plain)?;
        Ok(sealed.as_bytes().to_vec())
    }

    /// Opens a note.
    pub fn open_note(&self, purpose: &str, sealed: Vec<u8>) -> Result<Vec<u8>, SealError> {
        let opened = self
            .0
            .open(&note_context(purpose), &Sealed::from_bytes(sealed))?;
        Ok(opened.to_vec())
    }

    /// The secret key in a record.
    pub fn open_secret_key(
        &self,
        instance: InstanceId,
        record: &SecretKeyRecord,
    ) -> Result<SecretKey, VaultError> {
        let bytes = self.0.open(&secret_key_context(instance), &record.sealed)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| VaultError::Key)?;
        SecretKey::parse(text).map_err(|_| VaultError::Key)
    }

    /// Whether the sealed VAPID key of an instance opens.
    pub fn check_vapid_key(&self, id: InstanceId, sealed: &Sealed) -> Result<(), SealError> {
        self.0.open(&vapid_context(id), sealed).map(|_| ())
    }

    /// The VAPID key in a record.
    pub fn open_vapid_key(&self, record: &InstanceRecord) -> Result<Es256Key, VaultError> {
        let bytes = self
            .0
            .open(&vapid_context(record.id), &record.vapid_private_key)?;
        Es256Key::from_pkcs8(&bytes).map_err(|_| VaultError::Key)
    }

    /// The gateway credential in a record.
    pub fn open_credential(
        &self,
        instance: InstanceId,
        record: &CredentialRecord,
    ) -> Result<Credential, VaultError> {
        let bytes = self.0.open(
            &credential_context(instance, record.platform),
            &record.sealed,
        )?;
        Ok(Credential::from_stored(record.platform, &bytes)?)
    }

    /// A provider or access token to be shared under this name.
    pub(crate) fn seal_token(&self, name: &str, token: &Token) -> Result<Sealed, SealError> {
        self.0.seal(&token_context(name), &shelf::to_bytes(token))
    }

    /// The token that was shared under this name.
    pub(crate) fn open_token(&self, name: &str, sealed: &Sealed) -> Result<Token, VaultError> {
        let bytes = self.0.open(&token_context(name), sealed)?;
        shelf::from_bytes(&bytes).ok_or(VaultError::Key)
    }
}

fn token_context(name: &str) -> String {
    format!("provider-token/{name}")
}

fn note_context(purpose: &str) -> String {
    format!("note/{purpose}")
}

/// What is sealed of a webhook that a publish brings along.
#[derive(Debug)]
pub(crate) struct Brought {
    pub(crate) url: PublishWebhookUrl,
    pub(crate) request_body: String,
}

impl Vault {
    /// A webhook's secret, to be kept.
    pub fn seal_webhook_secret(
        &self,
        instance: InstanceId,
        webhook: WebhookId,
        secret: &WebhookSecret,
    ) -> Result<Sealed, SealError> {
        let context = webhook_context(instance, webhook);
        self.0.seal(&context, secret.reveal().as_bytes())
    }

    /// The secret in a record; `None` if it has none.
    pub(crate) fn open_webhook_secret(
        &self,
        instance: InstanceId,
        record: &WebhookRecord,
    ) -> Result<Option<WebhookSecret>, VaultError> {
        let Some(sealed) = &record.secret else {
            return Ok(None);
        };
        let bytes = self.0.open(&webhook_context(instance, record.id), sealed)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| VaultError::Key)?;
        let secret = WebhookSecret::parse(record.scheme, text);
        secret.map(Some).map_err(|_| VaultError::Key)
    }

    /// What a publish brings along, to be kept: the length of the URL, the URL, the body.
    pub(crate) fn seal_brought(
        &self,
        publish: PublishId,
        own: &OwnWebhook,
    ) -> Result<PublishWebhook, SealError> {
        let url = own.url.reveal();
        let plain = Zeroizing::new(format!("{}\n{url}{}", url.len(), own.request_body));
        let sealed = self.0.seal(&brought_context(publish), plain.as_bytes())?;
        Ok(PublishWebhook(sealed))
    }

    /// What a publish brought along.
    pub(crate) fn open_brought(
        &self,
        publish: PublishId,
        brought: &PublishWebhook,
    ) -> Result<Brought, VaultError> {
        let bytes = self.0.open(&brought_context(publish), &brought.0)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| VaultError::Key)?;
        let parts = text.split_once('\n').and_then(|(length, rest)| {
            let (url, body) = rest.split_at_checked(length.parse().ok()?)?;
            Some((PublishWebhookUrl::parse(url).ok()?, body))
        });
        let (url, body) = parts.ok_or(VaultError::Key)?;
        Ok(Brought {
            url,
            request_body: body.into(),
        })
    }
}

fn webhook_context(instance: InstanceId, webhook: WebhookId) -> String {
    format!("instance/{instance}/webhook/{webhook}")
}

fn brought_context(publish: PublishId) -> String {
    format!("publish/{publish}/webhook")
}

fn vapid_context(instance: InstanceId) -> String {
    format!("instance/{instance}/vapid")
}

fn secret_key_context(instance: InstanceId) -> String {
    format!("instance/{instance}/secret-key")
}

fn credential_context(instance: InstanceId, platform: Platform) -> String {
    format!("instance/{instance}/credential/{platform}")
}

#[cfg(test)]
mod tests {
    use domain::seal::MasterKey;

    use super::*;

    /// Under 32 bytes of 7, by a release whose sealed values did not name their keys.
    const NAMELESS: &str =
        "ufo0lp3y1pNl0lCGi0FyfYmowFjzptAkoVq6d9oux7bC7IjyFBehRZpxqwbjXiq0AqReiMXHZ0PvgpFA";

    #[test]
    fn what_a_release_without_names_of_keys_sealed_opens() {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD;
        let id: InstanceId = "9a1d2b3c-5f0f-4a55-8f0e-0d4c1b1f9a37".parse().unwrap();
        let old = STANDARD.encode([7; 32]);
        let record = |sealed| SecretKeyRecord {
            id: store::instances::SecretKeyId(1),
            sealed,
            hint: String::new(),
            created_at: Timestamp::from_secs(1),
        };
        let nameless = record(Sealed::from_bytes(STANDARD.decode(NAMELESS).unwrap()));
        let new = MasterKey::random().to_base64();
        let both = Keyring::from_base64(&format!("{} {old}", *new)).unwrap();
        for keys in [Keyring::from_base64(&old).unwrap(), both.clone()] {
            let opened = Vault::new(keys).open_secret_key(id, &nameless).unwrap();
            assert_eq!(opened.reveal(), "0123456789ABCDEF0123456789ABCDEF");
        }
        let place = SealedPlace::SecretKey(id);
        let vault = Vault::new(both);
        assert!(!vault.is_current(&nameless.sealed));
        let anew = record(vault.reseal(&place, &nameless.sealed).unwrap());
        assert!(vault.is_current(&anew.sealed));
        let after = Vault::new(MasterKey::from_base64(&new).unwrap());
        let opened = after.open_secret_key(id, &anew).unwrap();
        assert_eq!(opened.reveal(), "0123456789ABCDEF0123456789ABCDEF");
        let elsewhere = SealedPlace::SecretKey(InstanceId::random());
        assert!(vault.reseal(&elsewhere, &nameless.sealed).is_err());
    }

    #[test]
    fn what_a_publish_brought_opens_for_that_publish_alone() {
        let vault = Vault::new(MasterKey::random());
        let publish = PublishId::random();
        let own = OwnWebhook {
            url: PublishWebhookUrl::parse("https://u:p@app.example/hook").unwrap(),
            request_body: "{\n\"interests\": []}".into(),
        };
        let sealed = vault.seal_brought(publish, &own).unwrap();
        let opened = vault.open_brought(publish, &sealed).unwrap();
        assert_eq!(opened.url, own.url);
        assert_eq!(opened.request_body, own.request_body);
        assert!(vault.open_brought(PublishId::random(), &sealed).is_err());
    }

    #[test]
    fn a_secret_key_opens_for_its_instance_alone() {
        let vault = Vault::new(MasterKey::random());
        let (id, other) = (InstanceId::random(), InstanceId::random());
        let key = SecretKey::parse("0123456789ABCDEF0123456789ABCDEF").unwrap();
        let name = InstanceName::parse("shop").unwrap();
        let new = vault
            .new_instance(id, name, &key, Timestamp::from_secs(1))
            .unwrap();
        assert_eq!(new.secret_key.hint, "…CDEF");
        let record = SecretKeyRecord {
            id: store::instances::SecretKeyId(1),
            sealed: new.secret_key.sealed,
            hint: new.secret_key.hint,
            created_at: new.created_at,
        };
        assert_eq!(
            vault.open_secret_key(id, &record).unwrap().reveal(),
            key.reveal()
        );
        assert!(vault.open_secret_key(other, &record).is_err());
        assert!(
            Vault::new(MasterKey::random())
                .open_secret_key(id, &record)
                .is_err()
        );
        let short = SecretKey::parse("abcdef").unwrap();
        assert_eq!(
            vault
                .new_secret_key(id, &short, Timestamp::from_secs(1))
                .unwrap()
                .hint,
            "…"
        );
    }
}
