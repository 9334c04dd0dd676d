//! The outcome of the day: a table, and whether both sides are as they should be. Both are read from the records of the
//! two systems, and from the list of owed records, which is the integration's report to the merchant.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use shared::{
    Consistency,
    domain::{EntityKind, EntityRef, NorceId, Scope},
    http::Deadline,
    owed::{DynamoDbOwed, Owed, Reason, Stage, Subject, fold},
};

use super::{
    SandboxError,
    deployment::Deployment,
    erp::{Details, Duplicate, Erp, Record, Register, Role, Write},
    operator::{Conversation, InTheWay},
    own_register::OwnRegister,
    page::{self, Pair},
    passes::Passes,
    progress,
    quiet::Queues,
    shop::{COUNTRY, OTHER_PHONE, Shop, country_of},
};
use crate::{
    local_aws::LocalAws,
    norce_simulator::{self, Address, DeliveryState, ImportKind},
};

/// How long the owed list may take to be read: it has a few records.
const TIME_FOR_THE_OWED_LIST: Duration = Duration::from_secs(60);

/// The entities of the day by their parts in it.
#[derive(Debug, Default)]
pub(super) struct Expectations {
    /// Customers who ordered, the refused and the poisoned one included.
    pub(super) customers: Vec<i64>,
    /// Companies that ordered.
    pub(super) companies: Vec<i64>,
    /// Their contacts.
    pub(super) contacts: Vec<i64>,
    /// Customers of both registers from before the integration, with their codes.
    pub(super) of_old: Vec<(i64, String)>,
    /// Of them the one whose telephone number is another in the ERP, which keeps it: nobody has changed it in the shop since
    /// the two were bound.
    pub(super) kept_phone: Option<i64>,
    /// Customers and companies that a key does not tell apart.
    pub(super) sharing: Sharing,
    /// The customer who is in the ERP twice, and the codes.
    pub(super) twins: Option<(i64, Vec<String>)>,
    /// The customer that the ERP refuses, and what it says then.
    pub(super) refused: Option<(i64, &'static str)>,
    /// The customer whose code Norce cannot import.
    pub(super) poisoned: Option<i64>,
    /// The customer who was forgotten, and the ERP's record of them at that moment.
    pub(super) forgotten: Option<(i64, Record)>,
    /// The customer of the burst.
    pub(super) burst: Option<i64>,
    /// The contact who has moved, and one of the company that it has moved to.
    pub(super) moved: Option<(i64, i64)>,
    /// The customer whose data were removed without a word, and the ERP's record of it at that moment.
    pub(super) scrambled: Option<(i64, Record)>,
    /// Who is abroad, and who has the address of a vendor's contact.
    pub(super) own_register: OwnRegister,
}

/// Customers who share an e-mail address, and companies that share a number or a placeholder: each has a record of its
/// own.
#[derive(Debug, Default)]
pub(super) struct Sharing {
    pub(super) customers: Vec<i64>,
    pub(super) companies: Vec<i64>,
}

impl Expectations {
    /// The customers that a person has to deal with.
    pub(super) fn in_the_way(&self) -> Result<InTheWay, SandboxError> {
        let nobody = || SandboxError::Day("nobody is in the way".to_owned());
        Ok(InTheWay {
            refused: self.refused_id().ok_or_else(nobody)?,
            poisoned: self.poisoned.ok_or_else(nobody)?,
            scrambled: self.scrambled_id().ok_or_else(nobody)?,
            warned: None,
        })
    }

    fn scrambled_id(&self) -> Option<i64> {
        self.scrambled.as_ref().map(|(id, _)| *id)
    }

    fn refused_id(&self) -> Option<i64> {
        self.refused.map(|(id, _)| id)
    }
}

/// The answer to a post that is not Norce's.
#[derive(Debug)]
pub(super) struct Answer {
    /// The kind of post.
    pub(super) what: &'static str,
    /// The answer.
    pub(super) status: u16,
    /// The right answers.
    pub(super) expected: Vec<u16>,
}

/// The outcome of the day.
pub(super) struct Outcome {
    table: Table,
    notes: Vec<String>,
    owed: Vec<Owed>,
    passes: Vec<String>,
    asked: Vec<String>,
    faults: Vec<String>,
    times: Vec<(String, Duration)>,
    pairs: Vec<Pair>,
}

#[derive(Debug, Default)]
struct Column {
    created: usize,
    updated: usize,
    unchanged: usize,
    confirmed: Option<usize>,
    owed: Option<usize>,
    duplicates: usize,
}

#[derive(Debug, Default)]
struct Table {
    customers: Column,
    companies: Column,
    contacts: Column,
}

/// Both sides at the end of the day.
pub(super) struct Sides<'a> {
    pub(super) shop: &'a Shop,
    pub(super) customers: BTreeMap<i64, norce_simulator::CustomerRecord>,
    pub(super) companies: BTreeMap<i64, norce_simulator::CompanyRecord>,
    pub(super) erp: Register,
    writes: Vec<Write>,
    duplicates: Vec<Duplicate>,
    owed: Vec<Owed>,
    faults: Vec<String>,
}

impl Outcome {
    /// Takes over what came of the passes.
    pub(super) fn add_passes(&mut self, passes: Passes) {
        self.passes
            .extend(passes.runs.iter().map(erp_full_pass::report::summary));
        self.notes.extend(passes.notes);
        self.faults.extend(passes.faults);
    }

    /// Takes over what a person was answered.
    pub(super) fn add_conversation(&mut self, conversation: &Conversation) {
        self.asked = conversation.lines();
        self.add_faults(conversation.faults());
    }

    /// Takes over what else was not as it should be.
    pub(super) fn add_faults(&mut self, faults: Vec<String>) {
        self.faults.extend(faults);
    }

    /// Compares both sides.
    pub(super) async fn of(
        shop: &Shop,
        aws: &LocalAws,
        deployment: &Deployment,
        queues: &Queues,
        expected: Expectations,
        answers: Vec<Answer>,
    ) -> Result<Self, SandboxError> {
        let owed = owed(aws, deployment).await?;
        let erp = shop.erp_register().await?;
        let mut sides = Sides {
            shop,
            customers: shop
                .norce
                .customers()
                .into_iter()
                .map(|record| (record.row.id, record))
                .collect(),
            companies: shop
                .norce
                .companies()
                .into_iter()
                .map(|record| (record.row.id, record))
                .collect(),
            duplicates: erp.duplicates(),
            erp,
            writes: shop.erp.writes().await?,
            owed,
            faults: Vec::new(),
        };
        sides.check_customers(&expected);
        sides.check_companies(&expected);
        sides.forgive_sharing(&expected.sharing);
        sides.forgive_twins(&expected);
        sides.check_refused(&expected);
        sides.check_poisoned(&expected);
        sides.check_forgotten(&expected);
        sides.check_scrambled(&expected);
        sides.check_moved(&expected);
        sides.check_own_register(&expected);
        sides.check_owed(&expected);
        sides.check_uniqueness();
        sides.check_events();
        for (queue, count) in queues.dead().await? {
            if count > 0 {
                sides.fault(format!(
                    "{count} message(s) on the dead-letter queue of `{queue}`"
                ));
            }
        }
        for answer in &answers {
            if !answer.expected.contains(&answer.status) {
                let Answer {
                    what,
                    status,
                    expected,
                } = answer;
                sides.fault(format!(
                    "a post {what} was answered {status} instead of {expected:?}"
                ));
            }
        }
        for note in shop.norce.contract_notes() {
            sides.fault(format!(
                "an import that Norce takes but that is not careful: {note}"
            ));
        }
        let table = sides.table(&expected);
        let notes = sides.notes(&expected, &answers);
        Ok(Self {
            table,
            notes,
            times: sides.times_to_confirmed(),
            pairs: sides.pairs(),
            owed: sides.owed,
            passes: Vec::new(),
            asked: Vec::new(),
            faults: sides.faults,
        })
    }

    /// The same as a page.
    pub(super) fn page(&self) -> page::Day {
        let owed = self.owed.iter();
        page::Day {
            times: self.times.clone(),
            pairs: self.pairs.clone(),
            owed: owed
                .map(|owed| (owed.subject.to_string(), owed.detail.clone()))
                .collect(),
            faults: self.faults.clone(),
        }
    }

    /// Whether everything is as it should be.
    pub(super) fn is_good(&self) -> bool {
        self.faults.is_empty()
    }

    /// Shows the table and what is not as it should be.
    pub(super) fn print(&self) {
        let Table {
            customers,
            companies,
            contacts,
        } = &self.table;
        progress::line(format_args!(
            "\n{:26}{:>11}{:>11}{:>11}",
            "", "customers", "companies", "contacts"
        ));
        let row = |title: &str, cell: fn(&Column) -> Option<usize>| {
            let cells = [customers, companies, contacts]
                .map(|column| cell(column).map_or_else(String::new, |count| count.to_string()));
            let [customers, companies, contacts] = cells;
            progress::line(format_args!(
                "{title:26}{customers:>11}{companies:>11}{contacts:>11}"
            ));
        };
        row("created in the ERP", |column| Some(column.created));
        row("updated in the ERP", |column| Some(column.updated));
        row("unchanged", |column| Some(column.unchanged));
        row("codes confirmed in Norce", |column| column.confirmed);
        row("owed", |column| column.owed);
        row("duplicates", |column| Some(column.duplicates));
        progress::line("");
        for note in &self.notes {
            progress::line(note);
        }
        if !self.owed.is_empty() {
            progress::line("\nOwed at the end of the day");
            for owed in &self.owed {
                progress::line(format_args!(
                    "  {} ({}, {}): {}",
                    owed.subject,
                    owed.stage.as_str(),
                    owed.reason.as_str(),
                    owed.detail
                ));
            }
        }
        if !self.passes.is_empty() {
            progress::line("\nPasses");
            for pass in &self.passes {
                progress::line(format_args!("  {pass}"));
            }
        }
        if !self.asked.is_empty() {
            progress::line("\nA person asked");
            for line in &self.asked {
                progress::line(format_args!("  {line}"));
            }
        }
        if !self.faults.is_empty() {
            progress::line("\nNot as it should be");
            for fault in &self.faults {
                progress::line(format_args!("  {fault}"));
            }
        }
    }
}

impl Sides<'_> {
    pub(super) fn fault(&mut self, fault: String) {
        self.faults.push(fault);
    }

    /// A customer of Norce as the ERP would have it.
    fn customer_in_erp_terms(&self, customer: &norce_simulator::CustomerRecord) -> Details {
        let row = &customer.row;
        let names = [&row.first_name, &row.last_name].map(|name| name.clone().unwrap_or_default());
        in_erp_terms(
            self.shop.erp.as_ref(),
            names.join(" "),
            &row.email_address,
            &row.phone_number,
            customer.details.addresses.first(),
        )
    }

    /// A company of Norce as the ERP would have it.
    fn company_in_erp_terms(&self, company: &norce_simulator::CompanyRecord) -> Details {
        let row = &company.row;
        in_erp_terms(
            self.shop.erp.as_ref(),
            row.name.clone().unwrap_or_default(),
            &row.email_address,
            &row.phone_number,
            company.details.addresses.first(),
        )
    }

    /// Every customer that ordered has the code of exactly one record in the ERP, and that record has the shop's data.
    fn check_customers(&mut self, expected: &Expectations) {
        let of_old = expected.of_old.iter().map(|(id, _)| id);
        for id in expected
            .customers
            .iter()
            .chain(&expected.contacts)
            .chain(&expected.sharing.customers)
            .chain(of_old)
        {
            if [expected.refused_id(), expected.poisoned].contains(&Some(*id)) {
                continue;
            }
            let Some(customer) = self.customers.get(id) else {
                self.fault(format!("customer {id} is gone from Norce"));
                continue;
            };
            let code = customer.row.customer_code.clone();
            let mut shop = self.customer_in_erp_terms(customer);
            if expected.kept_phone == Some(*id) {
                OTHER_PHONE.clone_into(&mut shop.phone);
            }
            if !self.shop.erp.contacts_have_addresses()
                && let Some(company) = self.company_of(*id)
            {
                let Details {
                    name, email, phone, ..
                } = shop;
                let address = self.company_in_erp_terms(company);
                shop = Details {
                    name,
                    email,
                    phone,
                    ..address
                };
            }
            self.compare("customer", *id, code, &shop);
        }
        for (id, code) in &expected.of_old {
            let now = self
                .customers
                .get(id)
                .and_then(|customer| customer.row.customer_code.clone());
            if now.as_ref() != Some(code) {
                self.fault(format!(
                    "customer {id} had code {code} of old and has {now:?} now"
                ));
            }
        }
    }

    /// The codes of the customers and companies that a key does not tell apart.
    fn codes_of(&self, sharing: &Sharing) -> BTreeSet<String> {
        let customers = sharing.customers.iter();
        let customers =
            customers.filter_map(|id| self.customers.get(id)?.row.customer_code.clone());
        let companies = sharing.companies.iter();
        let companies = companies.filter_map(|id| self.companies.get(id)?.row.company_code.clone());
        customers.chain(companies).collect()
    }

    /// What they share is no duplicate, as long as each of them has a record of its own.
    fn forgive_sharing(&mut self, sharing: &Sharing) {
        let codes = self.codes_of(sharing);
        let expected = sharing.customers.len() + sharing.companies.len();
        if codes.len() != expected {
            self.fault(format!(
                "{expected} who share an address or a number have {} codes",
                codes.len()
            ));
        }
        let is_shared =
            |duplicate: &Duplicate| duplicate.codes.iter().all(|code| codes.contains(code));
        self.duplicates.retain(|duplicate| !is_shared(duplicate));
    }

    /// The ERP had a customer twice before the integration came.
    fn forgive_twins(&mut self, expected: &Expectations) {
        let twins = expected.twins.iter().flat_map(|(_, codes)| codes);
        let twins: BTreeSet<&String> = twins.collect();
        self.duplicates
            .retain(|duplicate| !duplicate.codes.iter().all(|code| twins.contains(code)));
    }

    /// The company of a customer who is a contact.
    fn company_of(&self, customer: i64) -> Option<&norce_simulator::CompanyRecord> {
        let companies = self.shop.norce.companies_of(customer);
        self.companies.get(companies.first()?)
    }

    fn check_companies(&mut self, expected: &Expectations) {
        let mut ids: BTreeSet<i64> = expected.companies.iter().copied().collect();
        ids.extend(self.shop.companies_with_orders());
        for id in ids {
            let Some(company) = self.companies.get(&id) else {
                self.fault(format!("company {id} is gone from Norce"));
                continue;
            };
            let (code, shop) = (
                company.row.company_code.clone(),
                self.company_in_erp_terms(company),
            );
            self.compare("company", id, code, &shop);
        }
    }

    fn compare(&mut self, kind: &str, id: i64, code: Option<String>, shop: &Details) {
        let Some(code) = code else {
            self.fault(format!("{kind} {id} has no code in Norce"));
            return;
        };
        match self.erp.with_code(&code).as_slice() {
            [record] if record.details == *shop => {}
            // All people here are invented, so differences may be shown.
            [record] => {
                let record = &record.details;
                self.fault(format!(
                    "{kind} {id} is {shop:?} in the shop, but {code} is {record:?} in the ERP"
                ));
            }
            records => {
                let count = records.len();
                self.fault(format!(
                    "{kind} {id} has code {code}, which {count} records of the ERP have"
                ));
            }
        }
    }

    fn check_refused(&mut self, expected: &Expectations) {
        let Some(id) = expected.refused_id() else {
            return;
        };
        let Some(customer) = self.customers.get(&id) else {
            return;
        };
        let (code, email) = (
            customer.row.customer_code.clone(),
            customer.row.email_address.clone(),
        );
        if let Some(code) = code {
            self.fault(format!(
                "customer {id} was refused by the ERP and has code {code} in Norce"
            ));
        }
        let mut records = self.erp.0.iter();
        if records.any(|record| Some(&record.details.email) == email.as_ref()) {
            self.fault(format!(
                "customer {id} was refused by the ERP and is there all the same"
            ));
        }
    }

    fn check_poisoned(&mut self, expected: &Expectations) {
        let Some(id) = expected.poisoned else { return };
        let Some(customer) = self.customers.get(&id) else {
            return;
        };
        let (code, shop) = (
            customer.row.customer_code.clone(),
            self.customer_in_erp_terms(customer),
        );
        if let Some(code) = code {
            self.fault(format!(
                "the code {code} of customer {id} could not be imported and is in Norce"
            ));
        }
        let there = self.erp.of(Role::Customer);
        let there = there.filter(|record| record.details == shop).count();
        if there != 1 {
            self.fault(format!(
                "customer {id} is in the ERP {there} times instead of once"
            ));
        }
    }

    fn check_forgotten(&mut self, expected: &Expectations) {
        let Some((id, record)) = &expected.forgotten else {
            return;
        };
        let code = &record.code;
        if self.erp.customer(Some(code)) != Some(record) {
            self.fault(format!(
                "customer {id} is forgotten, and {code} was touched in the ERP afterwards"
            ));
        }
        if let Some(now) = self.customers.get(id)
            && (!now.row.is_forgotten || now.row.is_active)
        {
            self.fault(format!("customer {id} was forgotten and is back"));
        }
    }

    fn check_scrambled(&mut self, expected: &Expectations) {
        let Some((id, record)) = &expected.scrambled else {
            return;
        };
        let code = &record.code;
        if self.erp.customer(Some(code)) != Some(record) {
            self.fault(format!(
                "the data of customer {id} were removed in Norce, and {code} was touched in the ERP afterwards"
            ));
        }
    }

    /// Two contacts of one company in the shop are of one organisation in the ERP.
    fn check_moved(&mut self, expected: &Expectations) {
        let Some((mover, colleague)) = expected.moved else {
            return;
        };
        let organisation = |id: i64| {
            let code = self.customers.get(&id)?.row.customer_code.as_deref()?;
            let records = self.erp.with_code(code);
            records.first().map(|record| record.company.clone())
        };
        let organisations = (organisation(mover), organisation(colleague));
        if organisations.0.is_none() || organisations.0 != organisations.1 {
            self.fault(format!(
                "contact {mover} has moved to the company of {colleague}, and in the ERP they are of {organisations:?}"
            ));
        }
    }

    /// Exactly the refused, the poisoned and the scrambled one are owed, each at its stage and with a reason in words.
    fn check_owed(&mut self, expected: &Expectations) {
        let mut missing: Vec<(Subject, Stage)> = [
            (expected.refused_id(), Stage::ToErp),
            (expected.poisoned, Stage::CodeToNorce),
            (expected.scrambled_id(), Stage::ToErp),
        ]
        .into_iter()
        .filter_map(|(id, stage)| Some((customer_subject(id?)?, stage)))
        .collect();
        let refusal = expected.refused.map(|(_, words)| words).unwrap_or_default();
        let mut faults = Vec::new();
        for owed in &self.owed {
            let subject = &owed.subject;
            match missing
                .iter()
                .position(|(expected, stage)| expected == subject && *stage == owed.stage)
            {
                Some(place) => {
                    missing.remove(place);
                }
                None => faults.push(format!("{subject} is owed: {}", owed.detail)),
            }
            if owed.detail.trim().is_empty() {
                faults.push(format!("{subject} is owed without a reason in words"));
            }
            let is_scrambled = owed.reason == Reason::Forgotten;
            if owed.stage == Stage::ToErp && !is_scrambled && !owed.detail.contains(refusal) {
                let detail = &owed.detail;
                faults.push(format!("{subject} is owed for another reason: {detail}"));
            }
        }
        faults.extend(
            missing
                .into_iter()
                .map(|(subject, stage)| format!("{subject} is not owed at {}", stage.as_str())),
        );
        self.faults.extend(faults);
    }

    /// No code stands for two of Norce's, and nobody is in the ERP twice.
    fn check_uniqueness(&mut self) {
        let customers = self
            .customers
            .values()
            .filter_map(|customer| customer.row.customer_code.clone());
        let companies = self
            .companies
            .values()
            .filter_map(|company| company.row.company_code.clone());
        let mut seen = BTreeSet::new();
        let twice: Vec<String> = customers
            .chain(companies)
            .filter(|code| !seen.insert(code.clone()))
            .collect();
        for code in twice {
            self.fault(format!("code {code} stands twice in Norce"));
        }
        for Duplicate { what, codes, .. } in self.duplicates.clone() {
            let codes = codes.join(" and ");
            self.fault(format!("the same {what} is in the ERP as {codes}"));
        }
    }

    /// Every event that Norce raised has arrived.
    fn check_events(&mut self) {
        let lost = self.shop.norce.deliveries();
        let lost = lost.iter().filter(|delivery| {
            !matches!(
                delivery.state,
                DeliveryState::Delivered | DeliveryState::NotSubscribed
            )
        });
        let lost: Vec<String> = lost
            .map(|delivery| {
                format!(
                    "an event {} did not arrive: {:?}",
                    delivery.event,
                    delivery.attempts.last()
                )
            })
            .collect();
        self.faults.extend(lost);
    }

    fn table(&self, expected: &Expectations) -> Table {
        let created = |of_contact: bool| {
            let creates = |write: &&Write| write.creates && write.of_contact == of_contact;
            self.writes.iter().filter(creates).count()
        };
        let changed = |of_contact: bool| -> BTreeSet<&str> {
            let changes = |write: &&Write| !write.creates && write.of_contact == of_contact;
            let changes = self.writes.iter().filter(changes);
            changes
                .filter_map(|write| write.record.as_deref())
                .collect()
        };
        let companies = self.erp.of(Role::Company);
        let company_ids: BTreeSet<&str> = companies.map(|record| &*record.id).collect();
        let duplicates = |role: Role| {
            let duplicates = self.duplicates.iter();
            duplicates
                .filter(|duplicate| duplicate.role == role)
                .count()
        };
        let owed = |kind: EntityKind, ids: &dyn Fn(i64) -> bool| {
            let of_kind = |owed: &&Owed| match owed.subject {
                Subject::Entity(entity) => entity.kind == kind && ids(entity.id.get().into()),
                Subject::Record { .. } | Subject::Order { .. } => false,
            };
            Some(self.owed.iter().filter(of_kind).count())
        };
        let contacts: BTreeSet<i64> = expected.contacts.iter().copied().collect();
        let with_code = self
            .customers
            .values()
            .filter(|customer| customer.row.customer_code.is_some());
        let (contacts_confirmed, customers_confirmed): (Vec<_>, Vec<_>) =
            with_code.partition(|customer| contacts.contains(&customer.row.id));
        let companies_confirmed = self
            .companies
            .values()
            .filter(|company| company.row.company_code.is_some())
            .count();
        let customers_changed = changed(false);
        let companies_changed = customers_changed.intersection(&company_ids).count();
        // Those of old who did not move on are in the ERP with what the shop has, and nothing was to be written.
        let untouched = expected.of_old.iter().filter(|(_, code)| {
            let record = self.erp.customer(Some(code));
            record.is_some_and(|record| !customers_changed.contains(&*record.id))
        });
        Table {
            customers: Column {
                created: created(false) - company_ids.len(),
                updated: customers_changed.len() - companies_changed,
                unchanged: untouched.count(),
                confirmed: Some(customers_confirmed.len()),
                owed: owed(EntityKind::Customer, &|id| !contacts.contains(&id)),
                duplicates: duplicates(Role::Customer),
            },
            companies: Column {
                created: company_ids.len(),
                updated: companies_changed,
                unchanged: 0,
                confirmed: Some(companies_confirmed),
                owed: owed(EntityKind::Company, &|_| true),
                duplicates: duplicates(Role::Company),
            },
            contacts: Column {
                created: created(true),
                updated: changed(true).len(),
                unchanged: 0,
                confirmed: Some(contacts_confirmed.len()),
                owed: owed(EntityKind::Customer, &|id| contacts.contains(&id)),
                duplicates: duplicates(Role::Contact),
            },
        }
    }

    fn notes(&self, expected: &Expectations, answers: &[Answer]) -> Vec<String> {
        let mut notes = Vec::new();
        let deliveries = self.shop.norce.deliveries();
        let posts: usize = deliveries
            .iter()
            .map(|delivery| delivery.attempts.len())
            .sum();
        let repeated = deliveries
            .iter()
            .filter(|delivery| delivery.copy > 1)
            .count();
        let retried = deliveries
            .iter()
            .filter(|delivery| delivery.attempts.len() > 1)
            .count();
        notes.push(format!(
            "events             {posts} posts, {repeated} of them repeated on purpose, {retried} tried again by Norce"
        ));
        let writes = self.writes.len();
        let jobs = self.shop.norce.jobs();
        let rows: usize = jobs.iter().map(|job| job.totals).sum();
        notes.push(format!(
            "work               {writes} writes to the ERP, {} import jobs with {rows} rows",
            jobs.len()
        ));
        if let Some(burst) = self.burst(expected) {
            notes.push(burst);
        }
        let Sharing {
            customers,
            companies,
        } = &expected.sharing;
        if !customers.is_empty() {
            notes.push(format!(
            "who is who         {} customers with one e-mail address, {} companies with one number or a placeholder: {} records of their own",
            customers.len(),
            companies.len(),
            self.codes_of(&expected.sharing).len()
        ));
        }
        let times = self.times_to_confirmed();
        let mut times: Vec<Duration> = times.into_iter().map(|(_, time)| time).collect();
        times.sort();
        if let (Some(median), Some(p95)) = (percentile(&times, 50), percentile(&times, 95)) {
            notes.push(format!(
                "order to code      p50 {}, p95 {} ({} codes)",
                progress::duration(median),
                progress::duration(p95),
                times.len()
            ));
        }
        let answers: Vec<String> = answers
            .iter()
            .map(|answer| format!("{} {}", answer.what, answer.status))
            .collect();
        if !answers.is_empty() {
            notes.push(format!("posts not Norce's  {}", answers.join(", ")));
        }
        notes
    }

    fn burst(&self, expected: &Expectations) -> Option<String> {
        let id = expected.burst?;
        let code = self.customers.get(&id)?.row.customer_code.clone()?;
        let record = self.erp.customer(Some(&code))?;
        let of_record = |write: &&Write| write.record.as_ref() == Some(&record.id);
        let writes = self.writes.iter().filter(of_record).count();
        let events = self.shop.norce.deliveries();
        let events = events
            .iter()
            .filter(|delivery| delivery.body.get("CustomerId") == Some(&id.into()))
            .count();
        Some(format!(
            "burst              {events} events about one customer, {writes} writes to the ERP"
        ))
    }

    /// Every customer and company of the shop, with what the ERP calls the one that has its code.
    fn pairs(&self) -> Vec<Pair> {
        let pair = |kind, id, shop: Details, code: Option<String>| {
            let records = code.as_deref().map(|code| self.erp.with_code(code));
            let record = records.and_then(|records| records.first().copied());
            Pair {
                kind,
                id,
                name: shop.name,
                in_erp: record.map(|record| record.details.name.clone()),
                code,
            }
        };
        let customers = self.customers.values().map(|customer| {
            let code = customer.row.customer_code.clone();
            let details = self.customer_in_erp_terms(customer);
            pair("customer", customer.row.id, details, code)
        });
        let companies = self.companies.values().map(|company| {
            let code = company.row.company_code.clone();
            let details = self.company_in_erp_terms(company);
            pair("company", company.row.id, details, code)
        });
        customers.chain(companies).collect()
    }

    /// From each first order to the end of the job that brought the code to Norce, with who ordered.
    fn times_to_confirmed(&self) -> Vec<(String, Duration)> {
        let mut ordered = BTreeMap::new();
        for order in self.shop.norce.orders() {
            let row = &order.row;
            let customer = row.buyer_customer_id.map(|id| (ImportKind::Customers, id));
            let company = row.buyer_company_id.map(|id| (ImportKind::Companies, id));
            for entity in [customer, company].into_iter().flatten() {
                ordered.entry(key(entity)).or_insert(row.created);
            }
        }
        let jobs: BTreeMap<i64, _> = self
            .shop
            .norce
            .jobs()
            .into_iter()
            .map(|job| (job.id, job))
            .collect();
        let mut confirmed = BTreeMap::new();
        for call in self.shop.norce.imports() {
            let Some(stop) = jobs.get(&call.job).and_then(|job| job.stop) else {
                continue;
            };
            for row in &call.rows {
                if let Some(id) = row.get("Id").and_then(serde_json::Value::as_i64)
                    && self.has_code(call.kind, id)
                {
                    // The last job that carried the row brought the code: an earlier one failed.
                    confirmed.insert(key((call.kind, id)), stop);
                }
            }
        }
        let times = ordered.into_iter().filter_map(|(entity, at)| {
            let confirmed = confirmed.get(&entity)?;
            let (is_company, id) = entity;
            let kind = if is_company { "company" } else { "customer" };
            Some((format!("{kind} {id}"), (*confirmed - at).to_std().ok()?))
        });
        times.collect()
    }

    fn has_code(&self, kind: ImportKind, id: i64) -> bool {
        match kind {
            ImportKind::Customers => self
                .customers
                .get(&id)
                .is_some_and(|customer| customer.row.customer_code.is_some()),
            ImportKind::Companies => self
                .companies
                .get(&id)
                .is_some_and(|company| company.row.company_code.is_some()),
        }
    }
}

/// Customers and companies in one order.
fn key((kind, id): (ImportKind, i64)) -> (bool, i64) {
    (kind == ImportKind::Companies, id)
}

/// Reads the list of owed records.
pub(super) async fn owed(
    aws: &LocalAws,
    deployment: &Deployment,
) -> Result<Vec<Owed>, SandboxError> {
    let table = deployment.output("OwedTable")?;
    let list = DynamoDbOwed::new(&aws.aws_config(), table);
    let mut owed = Vec::new();
    let deadline = Deadline::after(TIME_FOR_THE_OWED_LIST);
    let each = |record| owed.push(record);
    let read = fold(&list, Consistency::Strong, deadline, Duration::ZERO, each).await;
    if !read.map_err(|error| SandboxError::Day(error.to_string()))? {
        return Err(SandboxError::Day("the owed list has no end".to_owned()));
    }
    Ok(owed)
}

pub(super) fn customer_subject(id: i64) -> Option<Subject> {
    let id = NorceId::try_from(id).ok()?;
    Some(Subject::Entity(EntityRef::customer(Scope::Client, id)))
}

fn in_erp_terms(
    erp: &dyn Erp,
    name: String,
    email: &Option<String>,
    phone: &Option<String>,
    address: Option<&Address>,
) -> Details {
    let of_address = |part: fn(&Address) -> &Option<String>| {
        address
            .and_then(|address| part(address).clone())
            .unwrap_or_default()
    };
    Details {
        name,
        email: email.clone().unwrap_or_default(),
        phone: phone.clone().unwrap_or_default(),
        street: of_address(|address| &address.address_line1),
        postal_code: of_address(|address| &address.zip_code),
        city: of_address(|address| &address.city),
        country: erp
            .country_code(
                country_of(address.and_then(|address| address.country_id)).unwrap_or(COUNTRY),
            )
            .to_owned(),
    }
}

/// The nearest-rank percentile of sorted values.
fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let seconds: Vec<Duration> = (1..=20).map(Duration::from_secs).collect();
        assert_eq!(percentile(&seconds, 50), Some(Duration::from_secs(10)));
        assert_eq!(percentile(&seconds, 95), Some(Duration::from_secs(19)));
        assert_eq!(percentile(&[], 95), None);
    }
}
