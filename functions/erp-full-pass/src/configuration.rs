//! The settings of a pass, and everything else that the function reads from its environment.

use chrono::TimeDelta;
use shared::{
    domain::{FieldGroup, FieldGroups, FirstBindingWrites, OwnedFields, SyncKinds},
    erp::Capabilities,
    read_fields,
    runtime::configuration::{
        CommonSettings, ConfigurationError, Environment, ErpSettings, InboxSettings,
        MatchingPolicy, RemoteUrl, read_erp_events, read_erp_owns, read_sync_kinds,
    },
};
use thiserror::Error;

/// The settings of a pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassSettings {
    /// `SYNC_KINDS`.
    pub sync_kinds: SyncKinds,
    /// `ERP_OWNED_FIELDS`.
    pub erp_owns: OwnedFields,
    /// How customers and companies are matched with the ERP's records.
    pub matching: MatchingPolicy,
    /// `FIRST_BINDING_WRITES`: a plan says where the ERP keeps its values. The updates themselves are those of
    /// `change-events`.
    pub first_binding_writes: FirstBindingWrites,
    /// `IMPORT_UNKNOWN`: records of the ERP that Norce does not have are inserted there.
    pub import_unknown: bool,
    /// `PASS_OVERLAP_MINUTES`: how far before the watermark a delta pass begins. An ERP stamps a change before it
    /// commits it, so that a walk can pass a record which appears later (erp-apis §0).
    pub overlap: TimeDelta,
    /// `SWEEP_OVERLAP_MINUTES`: the same for Norce, where rows were seen to land hours out of order (norce-api §5.1).
    pub sweep_overlap: TimeDelta,
    /// `PASS_MOST_WAITING`: messages on the imports queue above which a pass waits.
    pub most_waiting: u64,
}

const DEFAULT_OVERLAP_MINUTES: u32 = 5;
/// The real client of norce-api §5.1 laps six hours.
const DEFAULT_SWEEP_OVERLAP_MINUTES: u32 = 6 * 60;
/// 20,000 lines, forty jobs of the usual size.
const DEFAULT_MOST_WAITING: u64 = 200;

impl PassSettings {
    /// Reads the settings; `None`: one of them is wrong, which `environment` has recorded.
    pub fn read(environment: &mut Environment<'_>) -> Option<Self> {
        let minutes = |minutes: u32| TimeDelta::minutes(minutes.into());
        read_fields!(Self {
            sync_kinds: read_sync_kinds(environment),
            erp_owns: read_erp_owns(environment),
            matching: MatchingPolicy::read(environment),
            first_binding_writes: environment
                .or_default("FIRST_BINDING_WRITES", FirstBindingWrites::default()),
            import_unknown: environment.or_default("IMPORT_UNKNOWN", false),
            overlap: environment
                .or_default("PASS_OVERLAP_MINUTES", DEFAULT_OVERLAP_MINUTES)
                .map(minutes),
            sweep_overlap: environment
                .or_default("SWEEP_OVERLAP_MINUTES", DEFAULT_SWEEP_OVERLAP_MINUTES)
                .map(minutes),
            most_waiting: environment.or_default("PASS_MOST_WAITING", DEFAULT_MOST_WAITING),
        })
    }
}

impl Default for PassSettings {
    fn default() -> Self {
        Self {
            sync_kinds: SyncKinds::ALL,
            erp_owns: OwnedFields::DEFAULT,
            matching: MatchingPolicy::default(),
            first_binding_writes: FirstBindingWrites::default(),
            import_unknown: false,
            overlap: TimeDelta::minutes(DEFAULT_OVERLAP_MINUTES.into()),
            sweep_overlap: TimeDelta::minutes(DEFAULT_SWEEP_OVERLAP_MINUTES.into()),
            most_waiting: DEFAULT_MOST_WAITING,
        }
    }
}

/// `ERP_OWNED_FIELDS` gives the ERP more than can be read from it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "ERP_OWNED_FIELDS: {erp} cannot be asked for: {groups}; leave them to Norce, or name their fields in ERP_EXTRA_FIELDS"
)]
pub struct Unreadable {
    erp: &'static str,
    groups: FieldGroups,
}

/// The field groups that a pass syncs to Norce: those that the ERP owns and that can be read from it. Price
/// lists belong to the ERP unless configured otherwise, so that an ERP without them is no fault.
///
/// # Errors
/// When the ERP owns other groups that cannot be read from it.
pub fn synced_groups(
    owns: OwnedFields,
    erp: &'static str,
    capabilities: &Capabilities,
) -> Result<OwnedFields, Unreadable> {
    let readable = capabilities.readable.union(FieldGroups::CODE);
    let missing = owns.any().without(readable);
    let groups = missing.without(FieldGroups::of(&[FieldGroup::PriceLists]));
    if groups.is_empty() {
        Ok(owns.without(missing))
    } else {
        Err(Unreadable { erp, groups })
    }
}

/// How the subscription to the ERP's events is kept.
#[derive(Debug, Clone)]
pub struct ErpEventSettings {
    /// `ERP_EVENTS_URL`: where they are posted to.
    pub url: RemoteUrl,
    /// `ERP_EVENT_SECRET_ARN`: the secret that they carry.
    pub secret_arn: String,
}

impl ErpEventSettings {
    /// Reads the settings; `None`: one of them is wrong, which `environment` has recorded.
    pub fn read(environment: &mut Environment<'_>) -> Option<Self> {
        read_fields!(Self {
            url: environment.required("ERP_EVENTS_URL"),
            secret_arn: environment.required("ERP_EVENT_SECRET_ARN"),
        })
    }
}

/// What `erp-full-pass` reads from its environment.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// The settings that the functions with code mappings share.
    pub common: CommonSettings,
    /// The connection to the ERP.
    pub erp: ErpSettings,
    /// The settings of a pass.
    pub pass: PassSettings,
    /// `PASSES_TABLE`.
    pub passes_table: String,
    /// `REPORTS_BUCKET`.
    pub reports_bucket: String,
    /// `PASSES_QUEUE_URL` and `PASSES_DEAD_LETTER_QUEUE_URL`.
    pub passes: InboxSettings,
    /// `CHANGES_QUEUE_URL`.
    pub changes_queue_url: String,
    /// `IMPORTS_QUEUE_URL`.
    pub imports_queue_url: String,
    /// The ERP's events; `None`: `ERP_EVENTS` is off.
    pub erp_events: Option<ErpEventSettings>,
}

impl Configuration {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// All faults at once.
    pub fn read(environment: Environment<'_>) -> Result<Self, ConfigurationError> {
        environment.read(|environment| {
            read_fields!(Self {
                common: CommonSettings::read(environment),
                erp: ErpSettings::read(environment, common.as_ref().map(|common| &common.shops)),
                pass: PassSettings::read(environment),
                passes_table: environment.required("PASSES_TABLE"),
                reports_bucket: environment.required("REPORTS_BUCKET"),
                passes: InboxSettings::read(environment, "PASSES"),
                changes_queue_url: environment.required("CHANGES_QUEUE_URL"),
                imports_queue_url: environment.required("IMPORTS_QUEUE_URL"),
                erp_events: read_erp_events(environment, ErpEventSettings::read),
            })
        })
    }
}
