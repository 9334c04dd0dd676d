//! What the ERP owns of a record: what Norce is told when it changes, and how it is noted that Norce was told.

use super::{CompanyKey, ErpRecord, NaturalKey, organisation_keys};
use crate::domain::{
    Address, CountryCode, EmailKey, EntityKind, ErpDelivery, FieldGroup, FieldGroups, Fingerprint,
    FingerprintKey, Names, NorceAddresses, NorceFields, NorceId, OrganisationKey, Personal,
    Resource,
};
use serde::Serialize;

/// As much of a group's keyed hash as is kept: 64 bits, so that a change goes unseen once in 10^19.
const HASH_CHARS: usize = 16;
/// Stands for a fingerprint when Norce has to be told again, whatever it was told before.
const AGAIN: &str = "again";
/// Stands before each company that the record belongs to no longer, after [`AGAIN`].
const FORMER: &str = "former:";

impl ErpRecord {
    /// Customer or company, in Norce's terms.
    pub const fn entity_kind(&self) -> EntityKind {
        if self.organisation && matches!(self.id.resource, Resource::Customer) {
            EntityKind::Company
        } else {
            EntityKind::Customer
        }
    }

    /// The keys by which the record can be found as an entity of this kind, the best first.
    pub fn keys(&self, kind: EntityKind) -> Vec<NaturalKey> {
        let image = &self.image;
        match kind {
            EntityKind::Company => organisation_keys(
                image.organisation_number.as_ref(),
                image.vat_number.as_ref(),
                self.country(),
            ),
            EntityKind::Customer => {
                // Business Central may hold several addresses, separated by semicolons (erp-apis §1.2).
                let emails = image.email.iter().flat_map(|it| it.expose().split(';'));
                emails
                    .filter_map(EmailKey::parse)
                    .map(NaturalKey::Email)
                    .collect()
            }
        }
    }

    /// The key of its organisation number alone.
    pub fn registered(&self) -> Option<OrganisationKey> {
        self.image.organisation_number.as_ref()?.key(self.country())
    }

    /// The country of its address.
    pub fn country(&self) -> Option<CountryCode> {
        self.image
            .address
            .as_ref()
            .and_then(|address| address.country)
    }

    /// The groups of an organisation's numbers that the record does not have, which are both where it is a person. An organisation does not lose its numbers: what
    /// the ERP does not know is left as Norce has it.
    pub fn unknown_numbers(&self) -> FieldGroups {
        let image = &self.image;
        let mut unknown = FieldGroups::NONE;
        if self.entity_kind() == EntityKind::Customer {
            return FieldGroups::of(&[FieldGroup::OrganisationNumber, FieldGroup::VatNumber]);
        }
        if image.organisation_number.is_none() {
            unknown = unknown.union(FieldGroups::of(&[FieldGroup::OrganisationNumber]));
        }
        if image.vat_number.is_none() {
            unknown = unknown.union(FieldGroups::of(&[FieldGroup::VatNumber]));
        }
        unknown
    }

    /// The record as one of this kind, whatever the ERP calls it: a match by code follows Norce, because old registers
    /// have persons of the type that organisations have.
    #[must_use]
    pub const fn of_kind(mut self, kind: EntityKind) -> Self {
        self.organisation = matches!(kind, EntityKind::Company);
        self
    }

    /// The fingerprint of those groups that the ERP owns, each by itself (`price-lists:5f0c…,active:77ab…`), so that a
    /// comparison shows which of them has changed. The code is not among them; it is compared as it is.
    ///
    /// A record that is active and has no price lists leaves no trace of these two groups: Norce has that of a customer
    /// that nobody told it otherwise, so that it need not be told. `None`: there is no trace at all.
    ///
    /// # Errors
    /// When a value has no JSON form; none of the record's is like that.
    pub fn owned_fingerprint(
        &self,
        groups: FieldGroups,
        key: &FingerprintKey,
    ) -> Result<Option<Fingerprint>, serde_json::Error> {
        let image = &self.image;
        let mut text = String::new();
        for group in groups.iter() {
            let hash = match group {
                FieldGroup::Code => continue,
                FieldGroup::Active if !self.blocked => continue,
                FieldGroup::PriceLists if image.price_lists.is_empty() => continue,
                FieldGroup::CompanyRelations if self.company.is_none() => continue,
                FieldGroup::OrganisationNumber if image.organisation_number.is_none() => continue,
                FieldGroup::VatNumber if image.vat_number.is_none() => continue,
                FieldGroup::OrganisationNumber => key.of(&image.organisation_number)?,
                FieldGroup::VatNumber => key.of(&image.vat_number)?,
                FieldGroup::Active => key.of(&self.blocked)?,
                FieldGroup::PriceLists => key.of(&image.price_lists)?,
                FieldGroup::CompanyRelations => key.of(&self.company)?,
                FieldGroup::Names => key.of(&image.name)?,
                FieldGroup::ContactDetails => {
                    key.of(&[&image.email, &image.phone, &image.mobile])?
                }
                FieldGroup::InvoiceAddress => match image.gln.value() {
                    None => key.of(&image.address)?,
                    Some(gln) => key.of(&(&image.address, gln))?,
                },
                FieldGroup::DeliveryAddresses => {
                    let deliveries = image.delivery_addresses.iter();
                    key.of(&deliveries.map(HashedDelivery::of).collect::<Vec<_>>())?
                }
                FieldGroup::Flags => key.of(&image.flags)?,
                FieldGroup::AdditionalInfo => key.of(&image.additional_info)?,
            };
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(group.as_str());
            text.push(':');
            text.push_str(short(&hash));
        }
        Ok((!text.is_empty()).then(|| Fingerprint::from(text)))
    }

    /// The values of an import, in Norce's terms. `norces`: the addresses that the entity has in Norce now; an import that
    /// sets none of them, or inserts the entity, needs none.
    pub fn norce_fields(&self, norces: &NorceAddresses) -> NorceFields {
        let image = &self.image;
        NorceFields {
            names: image.name.as_ref().map(|name| match self.entity_kind() {
                EntityKind::Company => Names::Company(name.clone()),
                EntityKind::Customer => split(name),
            }),
            email: image.email.clone(),
            phone: image.phone.clone(),
            mobile: image.mobile.clone(),
            invoice_address: norces.invoice_over(image.address.as_ref(), &image.gln),
            delivery_addresses: norces.deliveries_over(&image.delivery_addresses),
            price_lists: image.price_lists.clone(),
            active: !self.blocked,
            flags: image.flags.clone(),
            additional_info: image.additional_info.clone(),
            organisation_number: image
                .organisation_number
                .clone()
                .or_else(|| image.vat_number.as_ref()?.organisation_number()),
            vat_number: image.vat_number.clone(),
        }
    }
}

/// A delivery address as it is hashed: the same as ever where the ERP has nothing but the postal parts.
#[derive(Serialize)]
struct HashedDelivery<'a> {
    #[serde(flatten)]
    address: &'a Address,
    #[serde(skip_serializing_if = "Option::is_none")]
    gln: Option<&'a Personal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<&'a Personal>,
}

impl<'a> HashedDelivery<'a> {
    const fn of(delivery: &'a ErpDelivery) -> Self {
        Self {
            address: &delivery.address,
            gln: delivery.gln.value(),
            phone: delivery.phone.value(),
        }
    }
}

/// The mark that Norce has to be told again, and which relations were to be ended when it did not take them.
pub fn tell_again(former_companies: &[NorceId]) -> Fingerprint {
    let mut text = AGAIN.to_owned();
    for company in former_companies {
        text.push(',');
        text.push_str(FORMER);
        text.push_str(&company.to_string());
    }
    Fingerprint::from(text)
}

/// The mark that Norce has to be told again, with what a fingerprint has about the organisation.
pub fn tell_all_again(told: Option<&Fingerprint>) -> Fingerprint {
    match told_company(told) {
        ToldCompany::Nothing => tell_again(&[]),
        ToldCompany::Refused(former) => tell_again(&former),
        ToldCompany::Told { hash, id } => {
            Fingerprint::from(format!("{AGAIN},{}", relation_part(&hash, id)))
        }
    }
}

/// What Norce was last told of the organisation that a record belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToldCompany {
    /// Nothing.
    Nothing,
    /// A company.
    Told {
        /// The hash of what the ERP calls it by.
        hash: String,
        /// Its id in Norce. Versions up to 0.2.0 did not note it.
        id: Option<NorceId>,
    },
    /// Norce did not take it: companies in Norce that the record belongs to no longer.
    Refused(Vec<NorceId>),
}

/// What of a fingerprint is about the organisation that a record belongs to.
pub fn told_company(told: Option<&Fingerprint>) -> ToldCompany {
    let Some(told) = told else {
        return ToldCompany::Nothing;
    };
    let relation = |part: &str| {
        let (word, hash) = part.split_once(':')?;
        (word == FieldGroup::CompanyRelations.as_str()).then(|| match hash.split_once('@') {
            Some((hash, id)) => (hash.to_owned(), id.parse().ok().and_then(norce_id)),
            None => (hash.to_owned(), None),
        })
    };
    if let Some((hash, id)) = told.as_str().split(',').find_map(relation) {
        return ToldCompany::Told { hash, id };
    }
    let former = told.as_str().split(',').filter_map(|part| {
        let id = part.strip_prefix(FORMER)?;
        id.parse().ok().and_then(norce_id)
    });
    let former: Vec<NorceId> = former.collect();
    if former.is_empty() && is_again(told).is_none() {
        return ToldCompany::Nothing;
    }
    ToldCompany::Refused(former)
}

fn norce_id(id: i64) -> Option<NorceId> {
    id.try_into().ok()
}

fn relation_part(hash: &str, id: Option<NorceId>) -> String {
    let relation = FieldGroup::CompanyRelations;
    match id {
        Some(id) => format!("{relation}:{hash}@{id}"),
        None => format!("{relation}:{hash}"),
    }
}

/// A fingerprint with what another one has about the organisation, in the place of what it has itself.
pub fn with_told_company(now: Option<Fingerprint>, told: &ToldCompany) -> Option<Fingerprint> {
    let own = now.iter().flat_map(|now| now.as_str().split(','));
    let is_other = |part: &&str| {
        let word = part.split(':').next().unwrap_or_default();
        word != FieldGroup::CompanyRelations.as_str()
    };
    let mut parts: Vec<String> = own.filter(is_other).map(str::to_owned).collect();
    match told {
        ToldCompany::Nothing => {}
        ToldCompany::Told { hash, id } => parts.push(relation_part(hash, *id)),
        ToldCompany::Refused(former) => {
            parts.extend(former.iter().map(|id| format!("{FORMER}{id}")));
        }
    }
    (!parts.is_empty()).then(|| Fingerprint::from(parts.join(",")))
}

/// Adds Norce's id of the contact's company to a fingerprint.
pub fn with_company_id(now: Option<Fingerprint>, id: NorceId) -> Option<Fingerprint> {
    match told_company(now.as_ref()) {
        ToldCompany::Told { hash, .. } => {
            let told = ToldCompany::Told { hash, id: Some(id) };
            with_told_company(now, &told)
        }
        ToldCompany::Nothing | ToldCompany::Refused(_) => now,
    }
}

/// A fingerprint that keeps the id of a company which is the one that Norce was told of.
pub fn with_same_company(
    now: Option<Fingerprint>,
    told: Option<&Fingerprint>,
) -> Option<Fingerprint> {
    match (told_company(told), told_company(now.as_ref())) {
        (
            ToldCompany::Told {
                hash: former,
                id: Some(id),
            },
            ToldCompany::Told { hash, .. },
        ) if former == hash => with_company_id(now, id),
        _ => now,
    }
}

/// The hash of an organisation as a fingerprint has it.
///
/// # Errors
/// None: a key has a JSON form.
pub fn company_hash(
    company: &CompanyKey,
    key: &FingerprintKey,
) -> Result<String, serde_json::Error> {
    let hash = key.of(&Some(company))?;
    Ok(short(&hash).to_owned())
}

fn short(hash: &Fingerprint) -> &str {
    hash.as_str().get(..HASH_CHARS).unwrap_or_default()
}

/// What follows the mark, where it is one.
fn is_again(told: &Fingerprint) -> Option<&str> {
    let rest = told.as_str().strip_prefix(AGAIN)?;
    (rest.is_empty() || rest.starts_with(',')).then_some(rest)
}

fn hash_of(fingerprint: &Fingerprint, group: FieldGroup) -> Option<&str> {
    fingerprint.as_str().split(',').find_map(|part| {
        let (word, hash) = part.split_once(':')?;
        let hash = hash.split('@').next().unwrap_or(hash);
        (word == group.as_str()).then_some(hash)
    })
}

/// Of these groups, those that differ between what Norce was told and what is now.
pub fn changed_groups(
    told: Option<&Fingerprint>,
    now: Option<&Fingerprint>,
    groups: FieldGroups,
) -> FieldGroups {
    let groups = groups.without(FieldGroups::CODE);
    if told == now {
        return FieldGroups::NONE;
    }
    if told.is_some_and(|told| is_again(told).is_some()) {
        return groups;
    }
    groups
        .iter()
        .filter(|group| {
            let hash = |fingerprint: Option<&Fingerprint>| {
                fingerprint.and_then(|it| hash_of(it, *group).map(str::to_owned))
            };
            hash(told) != hash(now)
        })
        .fold(FieldGroups::NONE, |changed, group| {
            changed.union(FieldGroups::of(&[group]))
        })
}

/// The ERP has a name in one text: its last word is the last name.
fn split(name: &Personal) -> Names {
    let (first, last) = match name.expose().rsplit_once(char::is_whitespace) {
        Some((first, last)) => (Personal::parse(first), Personal::parse(last)),
        None => (None, None),
    };
    Names::Customer {
        first,
        last: last.unwrap_or_else(|| name.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{ErpDetail, ErpId},
        erp::{ErpImage, ErpRecord},
    };

    fn record() -> ErpRecord {
        ErpRecord {
            id: ErpId {
                resource: Resource::Customer,
                id: "1".to_owned(),
            },
            code: "C1".parse().unwrap(),
            version: "1".to_owned(),
            modified: None,
            organisation: false,
            blocked: false,
            company: None,
            image: ErpImage {
                name: Personal::parse("Anna Maria Ek"),
                ..ErpImage::default()
            },
        }
    }

    #[test]
    fn a_fingerprint_tells_which_group_has_changed() {
        let key = FingerprintKey::new(b"k");
        let owns: FieldGroups = "code,names,price-lists,active".parse().unwrap();
        let of = |record: &ErpRecord| record.owned_fingerprint(owns, &key).unwrap();
        let told = of(&record());
        let changed = |record: &ErpRecord| {
            changed_groups(told.as_ref(), of(record).as_ref(), owns).to_string()
        };
        assert_eq!(changed(&record()), "");
        let mut priced = record();
        priced.image.price_lists = vec!["VIP".to_owned()];
        assert_eq!(changed(&priced), "price-lists");
        priced.blocked = true;
        priced.image.name = Personal::parse("Anna Berg");
        assert_eq!(changed(&priced), "names,price-lists,active");
        assert_eq!(
            changed_groups(of(&priced).as_ref(), told.as_ref(), owns).to_string(),
            "names,price-lists,active"
        );
        assert_eq!(
            changed_groups(Some(&tell_again(&[])), told.as_ref(), owns).to_string(),
            "names,price-lists,active"
        );
    }

    #[test]
    fn what_is_told_again_keeps_the_organisation_that_norce_was_told_of() {
        let former: NorceId = 7.try_into().unwrap();
        let hash = ToldCompany::Told {
            hash: "77ab".to_owned(),
            id: Some(former),
        };
        let told = with_told_company(None, &hash);
        assert_eq!(told_company(told.as_ref()), hash);
        let waits = with_told_company(None, &ToldCompany::Refused(vec![former]));
        assert_eq!(
            told_company(waits.as_ref()),
            ToldCompany::Refused(vec![former])
        );
        let again = tell_all_again(told.as_ref());
        assert_eq!(told_company(Some(&again)), hash);
        let refused = tell_again(&[former]);
        for again in [&again, &refused, &tell_all_again(Some(&refused))] {
            let groups = changed_groups(
                Some(again),
                told.as_ref(),
                FieldGroups::of(&FieldGroup::ALL),
            );
            assert!(groups.has(FieldGroup::Names), "{again:?}");
        }
        let kept = told_company(Some(&tell_all_again(Some(&refused))));
        assert_eq!(kept, ToldCompany::Refused(vec![former]));
        assert_eq!(told_company(None), ToldCompany::Nothing);
    }

    #[test]
    fn an_active_customer_without_price_lists_leaves_no_trace() {
        let key = FingerprintKey::new(b"k");
        let owns = FieldGroups::ERP_OWNS_BY_DEFAULT;
        assert_eq!(record().owned_fingerprint(owns, &key).unwrap(), None);
    }

    /// A change of what is hashed would tell Norce every address again.
    #[test]
    fn a_fingerprint_of_addresses_changes_for_records_with_a_gln_or_a_telephone_alone() {
        let key = FingerprintKey::new(b"k");
        let owns: FieldGroups = "invoice-address,delivery-addresses".parse().unwrap();
        let address = || Address {
            line1: Personal::parse("Storgatan 1"),
            country: Some(CountryCode::SE),
            ..Address::default()
        };
        let of = |gln: ErpDetail, [delivery_gln, phone]: [ErpDetail; 2]| {
            let mut record = record();
            record.image.address = Some(address());
            record.image.gln = gln;
            record.image.delivery_addresses = vec![ErpDelivery {
                id: "7".to_owned(),
                address: address(),
                gln: delivery_gln,
                phone,
            }];
            record.owned_fingerprint(owns, &key).unwrap().unwrap()
        };
        // As version 0.2.0 wrote it.
        let part = |hash: Fingerprint| hash.as_str()[..HASH_CHARS].to_owned();
        let before = Fingerprint::from(format!(
            "invoice-address:{},delivery-addresses:{}",
            part(key.of(&Some(address())).unwrap()),
            part(key.of(&vec![address()]).unwrap()),
        ));
        let nothing = || [ErpDetail::NoField, ErpDetail::NoField];
        let empty = || ErpDetail::Field(None);
        let value = || ErpDetail::Field(Personal::parse("1"));
        let changed =
            |now: Fingerprint| changed_groups(Some(&before), Some(&now), owns).to_string();
        assert_eq!(changed(of(ErpDetail::NoField, nothing())), "");
        assert_eq!(changed(of(empty(), [empty(), empty()])), "");
        assert_eq!(changed(of(value(), nothing())), "invoice-address");
        for details in [[value(), empty()], [empty(), value()]] {
            assert_eq!(changed(of(empty(), details)), "delivery-addresses");
        }
    }

    #[test]
    fn the_last_word_of_a_person_is_the_last_name() {
        let names = |text: &str| split(&Personal::parse(text).unwrap());
        assert_eq!(
            names("Anna Maria Ek"),
            Names::Customer {
                first: Personal::parse("Anna Maria"),
                last: Personal::parse("Ek").unwrap()
            }
        );
        assert_eq!(
            names("Ek"),
            Names::Customer {
                first: None,
                last: Personal::parse("Ek").unwrap()
            }
        );
    }
}
