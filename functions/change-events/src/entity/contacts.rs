//! Sends messages about the contacts of companies.

use std::collections::HashSet;

use futures_util::future::try_join_all;
use shared::{
    domain::{Cause, EntityRef, NorceId},
    mappings::Mappings,
};

use crate::{
    changes::{Change, ChangeSender},
    result::Failure,
};

/// The longest list of contacts that the mapping of a company stores: 10 KB, for which a write of the mapping costs ten
/// units. Of a larger company only new contacts are handled.
const MAX_STORED_CONTACTS: usize = 1_000;
/// Mappings of a company's contacts that are read at the same time.
const CONTACT_LOOKUP_CONCURRENCY: usize = 8;

/// Sends a message about each contact that has no mapping yet, or whose relation to the company has begun or ended since
/// the last synchronization: Norce sends an event of the company alone for that (norce-api §6).
pub(crate) async fn enqueue_contacts(
    mappings: &dyn Mappings,
    changes: ChangeSender<'_>,
    change: &Change,
    contacts: &[EntityRef],
    before: Option<&[NorceId]>,
) -> Result<(), Failure> {
    let mut unknown = Vec::new();
    for some in contacts.chunks(CONTACT_LOOKUP_CONCURRENCY) {
        let found = some.iter().map(|contact| mappings.get(*contact));
        let found = some.iter().zip(try_join_all(found).await?);
        let without = found.filter(|(_, mapping)| mapping.is_none());
        unknown.extend(without.map(|(contact, _)| *contact));
    }
    changes
        .send_after(change, &unknown, Cause::ContactOfCompany)
        .await?;
    let Some(before) = before.filter(|_| contacts.len() <= MAX_STORED_CONTACTS) else {
        return Ok(());
    };
    let is_new = |contact: &EntityRef| !before.contains(&contact.id);
    let new = contacts.iter().copied().filter(is_new);
    let now: HashSet<NorceId> = contacts.iter().map(|contact| contact.id).collect();
    // A former contact may be in another scope: `Entities::handle_elsewhere` finds it.
    let ended = before.iter().filter(|id| !now.contains(id));
    let ended = ended.map(|id| EntityRef::customer(change.entity.scope, *id));
    let changed: Vec<EntityRef> = new
        .filter(|contact| !unknown.contains(contact))
        .chain(ended)
        .collect();
    changes.send_after(change, &changed, Cause::Changed).await
}

/// The contacts of a company as its mapping stores them; `None`: there are too many.
pub(crate) fn stored(contacts: &[EntityRef]) -> Option<Vec<NorceId>> {
    let mut ids: Vec<NorceId> = contacts.iter().map(|contact| contact.id).collect();
    ids.sort_unstable();
    (ids.len() <= MAX_STORED_CONTACTS).then_some(ids)
}
