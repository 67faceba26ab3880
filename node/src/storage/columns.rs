//! Column families: one for each table of the ledger, and the node's own.
//!
//! | column | key (integers big-endian) | value |
//! | --- | --- | --- |
//! | `state/<table>` | as the ledger says | as the ledger says |
//! | `blocks` | height u64 | block |
//! | `headers` | height u64 | header and certificate |
//! | `heights` | block id | height |
//! | `transactions` | transaction id | height, place in the block |
//! | `receipts` | height u64, place of the first u32 | up to 256 receipts |
//! | `events` | height u64, place of the first u32 | up to 256 events |
//! | `job-events` | job u64, height u64, place u32 | event |
//! | `proposed` | height u64, block id | a block that was proposed |
//! | `evidence` | height u64, culprit | proof of a fault |
//! | `node` | name | format, genesis hash, last finalized block |

use rocksdb::{BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, Options};
use valo_ledger::Table;

use super::Settings;

/// A column family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    State(Table),
    Blocks,
    Headers,
    Heights,
    Transactions,
    Receipts,
    Events,
    JobEvents,
    Proposed,
    Evidence,
    Node,
}

impl Column {
    /// The node's own.
    const OWN: [Self; 10] = [
        Self::Blocks,
        Self::Headers,
        Self::Heights,
        Self::Transactions,
        Self::Receipts,
        Self::Events,
        Self::JobEvents,
        Self::Proposed,
        Self::Evidence,
        Self::Node,
    ];

    pub(super) fn all() -> impl Iterator<Item = Self> {
        Table::ALL.into_iter().map(Self::State).chain(Self::OWN)
    }

    /// For messages: what the ledger calls it, or what it is called here.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::State(table) => table.name(),
            Self::Blocks => "blocks",
            Self::Headers => "headers",
            Self::Heights => "heights",
            Self::Transactions => "transactions",
            Self::Receipts => "receipts",
            Self::Events => "events",
            Self::JobEvents => "job-events",
            Self::Proposed => "proposed",
            Self::Evidence => "evidence",
            Self::Node => "node",
        }
    }

    /// The name on disk.
    pub(super) fn name(self) -> String {
        match self {
            Self::State(table) => format!("state/{}", table.name()),
            own => own.label().to_owned(),
        }
    }

    fn options(self, settings: &Settings, cache: &Cache) -> Options {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(cache);
        // Index and filter blocks count against the cache: memory stays bounded however long the chain grows.
        blocks.set_cache_index_and_filter_blocks(true);
        blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
        blocks.set_bloom_filter(10.0, false);
        let mut options = Options::default();
        options.set_block_based_table_factory(&blocks);
        options.set_write_buffer_size(settings.write_buffers.div_ceil(2));
        options.set_max_write_buffer_number(3);
        options.set_compression_type(match self {
            // Mostly signatures and hashes, which do not compress.
            Self::Blocks | Self::Proposed | Self::Heights | Self::Transactions => DBCompressionType::None,
            _ => DBCompressionType::Lz4,
        });
        options
    }
}

/// Options of the database as a whole.
pub(super) fn database_options(settings: &Settings) -> Options {
    let mut options = Options::default();
    options.set_paranoid_checks(true);
    // A record at the end of the log that was cut off by a crash was never reported as written. Anything else
    // that is broken in a log is an error, not a shorter chain.
    options.set_wal_recovery_mode(rocksdb::DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_max_total_wal_size(u64::try_from(settings.write_buffers).unwrap_or(u64::MAX).saturating_mul(2));
    options.set_db_write_buffer_size(settings.write_buffers);
    options.set_max_background_jobs(2);
    options.set_max_file_opening_threads(2);
    options.set_max_open_files(settings.open_files);
    // No thread that wakes up to write statistics nobody reads.
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(1 << 20);
    options.set_log_level(rocksdb::LogLevel::Warn);
    options
}

/// All column families with their options, sharing one cache.
pub(super) fn descriptors(settings: &Settings) -> Vec<ColumnFamilyDescriptor> {
    let cache = Cache::new_lru_cache(settings.cache);
    let mut descriptors: Vec<ColumnFamilyDescriptor> = Column::all()
        .map(|column| ColumnFamilyDescriptor::new(column.name(), column.options(settings, &cache)))
        .collect();
    // RocksDB insists on it; nothing is kept there.
    descriptors.push(ColumnFamilyDescriptor::new(rocksdb::DEFAULT_COLUMN_FAMILY_NAME, Options::default()));
    descriptors
}
