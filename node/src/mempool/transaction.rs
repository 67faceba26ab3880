//! A transaction as the node passes it around: decoded, hashed and verified once, then shared.

use std::sync::Arc;

use bytes::Bytes;
use valo_protocol::{
    AccountNumber, GenesisHash, SignedTransaction, TransactionId, domain, encoding::DecodeError, keys::Signature,
};

/// A transaction read from its wire form, with its id. The signature is not verified yet.
#[derive(Debug)]
pub struct ParsedTransaction {
    signed: SignedTransaction,
    bytes: Bytes,
    /// What the signature covers.
    message: Vec<u8>,
    id: TransactionId,
}

/// A transaction whose signature is good. Made by the mempool's verifying threads only.
#[derive(Debug)]
pub struct VerifiedTransaction {
    signed: SignedTransaction,
    bytes: Bytes,
    id: TransactionId,
    /// What it offers for what it takes of a block, see [`rate`].
    rate: u64,
}

/// Length of the signature at the end of the wire form.
const SIGNATURE: usize = 64;

impl ParsedTransaction {
    /// Reads the wire form and takes the id from it, without encoding anything again.
    pub fn read(bytes: Bytes, genesis: &GenesisHash) -> Result<Self, DecodeError> {
        let signed = SignedTransaction::from_bytes(&bytes)?;
        // The encoding is canonical: what was read is what would be written.
        let body = bytes.get(..bytes.len().saturating_sub(SIGNATURE)).unwrap_or_default();
        let mut message = Vec::with_capacity(domain::TRANSACTION.len().saturating_add(32).saturating_add(body.len()));
        message.extend_from_slice(domain::TRANSACTION);
        message.extend_from_slice(genesis.as_bytes());
        message.extend_from_slice(body);
        let id = blake3::hash(&message).into();
        Ok(Self { signed, bytes, message, id })
    }

    /// The transaction.
    pub fn signed(&self) -> &SignedTransaction {
        &self.signed
    }

    /// The id.
    pub fn id(&self) -> TransactionId {
        self.id
    }

    /// Bytes on the wire.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// What the signature covers.
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// Says that the signature was found good.
    pub(super) fn into_verified(self, rate: u64) -> Arc<VerifiedTransaction> {
        Arc::new(VerifiedTransaction { signed: self.signed, bytes: self.bytes, id: self.id, rate })
    }
}

impl VerifiedTransaction {
    /// The transaction.
    pub fn signed(&self) -> &SignedTransaction {
        &self.signed
    }

    /// The wire form.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The id.
    pub fn id(&self) -> TransactionId {
        self.id
    }

    /// Who sent it.
    pub fn sender(&self) -> AccountNumber {
        self.signed.transaction.sender
    }

    /// Its place in the order of its sender.
    pub fn nonce(&self) -> u64 {
        self.signed.transaction.nonce.0
    }

    /// The most it pays, in units.
    pub fn max_fee(&self) -> u64 {
        self.signed.transaction.max_fee.units()
    }

    /// What it offers for what it takes of a block.
    pub fn rate(&self) -> u64 {
        self.rate
    }

    /// Whether it is a message of the protocol.
    pub fn is_protocol_message(&self) -> bool {
        self.signed.transaction.action.is_protocol_message()
    }

    /// Whether this is the transaction of that id with this very signature. The id does not cover the signature, so
    /// both are needed to say that a transaction in a block is one that was verified here.
    pub fn is(&self, id: &TransactionId, signature: &Signature) -> bool {
        self.id == *id && self.signed.signature == *signature
    }
}

/// The order of the mempool: what a transaction offers, in thousandths of what its bytes and weight cost at the
/// present prices. `max_fee` and `cost` in units.
pub fn rate(max_fee: u64, cost: u64) -> u64 {
    let rate = u128::from(max_fee).saturating_mul(1000).checked_div(u128::from(cost.max(1))).unwrap_or(0);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use valo_protocol::{Action, Amount, SecretKey, Transaction, Varint};

    #[test]
    fn the_id_and_the_signed_bytes_are_the_protocols() {
        let genesis = GenesisHash([7; 32]);
        let key = SecretKey::from_seed([1; 32]);
        let transaction = Transaction {
            sender: AccountNumber::MAX,
            nonce: Varint(300),
            max_fee: Amount::from_units(5),
            action: Action::TransferToKey { key: key.public(), amount: Amount::from_units(1) },
        };
        let signed = transaction.sign(&genesis, &key);
        let parsed = ParsedTransaction::read(signed.to_bytes().into(), &genesis).unwrap();
        assert_eq!(parsed.id(), signed.id(&genesis));
        assert_eq!(parsed.message(), signed.transaction.signed_bytes(&genesis));
        assert_eq!(parsed.signed(), &signed);
        assert!(ParsedTransaction::read(Bytes::from_static(&[1, 2, 3]), &genesis).is_err());
    }

    #[test]
    fn rates_never_overflow() {
        assert_eq!(rate(u64::MAX, 0), u64::MAX);
        assert_eq!(rate(0, 5), 0);
        assert_eq!(rate(10, 5), 2000);
    }
}
