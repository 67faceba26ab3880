//! What the chain offers, as the rules of a contract take it.

use valo_client::types::{ParametersInForce, TierInfo};
use valo_contract::resolve::{Market, OfferedTier};
use valo_protocol::Timestamp;

/// The chain as a market.
pub fn market<'a>(now: Timestamp, parameters: &'a ParametersInForce, tiers: &'a [TierInfo]) -> Market<'a> {
    let offered = |info: &'a TierInfo| OfferedTier { tier: &info.tier, nodes: info.nodes, owners: info.owners };
    Market { now, parameters: &parameters.parameters, tiers: tiers.iter().map(offered).collect() }
}
