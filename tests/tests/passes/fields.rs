//! More than codes: the fields that the ERP owns, companies and their contacts, and records that Norce does not have.

use std::{collections::BTreeSet, time::Duration};

use erp_full_pass::PassSettings;
use serde_json::{Value, json};
use shared::{
    domain::{ImportRequest, PassMode},
    mappings::{CodeDelivery, Mapping, Mappings},
    norce::connect::ImportOptions,
    owed::{Owed, Reason, Stage, Subject},
};
use tests::{
    bundle::{Bundle, Options, customer},
    business_central_simulator::{ContactRecord, CustomerRecord},
    norce_simulator::{
        Blank, CodeList, Effect, Endpoint, ImportedRows, NewCompany, NewOrder, Poison, PoisonMode,
        PoisonRows, When,
    },
};
use uuid::Uuid;

use crate::{DAY, drop_events, ended, in_erp, owed, person, person_in_erp};

fn inserting() -> PassSettings {
    PassSettings {
        import_unknown: true,
        ..PassSettings::default()
    }
}

pub(crate) fn organisation_in_erp(bundle: &Bundle) -> CustomerRecord {
    in_erp(
        bundle,
        &json!({"displayName": "Bolaget Aktiebolag", "type": "Company",
            "taxRegistrationNumber": "SE556036079301"}),
    )
}

/// Adds a person to the ERP as a contact of an organisation.
pub(crate) fn contact_in_erp(bundle: &Bundle, of: &CustomerRecord, number: usize) -> ContactRecord {
    let company = bundle.erp_company();
    let organisation = bundle
        .erp
        .contacts(company)
        .into_iter()
        .find(|contact| contact.display_name == of.display_name)
        .unwrap();
    bundle
        .erp
        .add_contact(
            company,
            &json!({"displayName": format!("Anna Ek {number}"), "type": "Person",
                "companyNumber": organisation.number,
                "email": format!("anna.{number}@example.com")}),
        )
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_relation_waits_for_the_company_and_is_told_when_norce_has_it() {
    let bundle = Bundle::new(&Options {
        erp_owns: "code,active,company-relations".parse().unwrap(),
        pass: inserting(),
        ..Options::default()
    });
    let organisation = organisation_in_erp(&bundle);
    let contact = contact_in_erp(&bundle, &organisation, 1);
    let id = bundle.norce.add_customer(person(1));
    bundle.run_until_quiet().await;

    let run = bundle.start_pass(PassMode::Full).await[0];
    while bundle.pass_step().await {}
    // The company is on its way; the code of its contact does not wait, the relation does.
    let counts = ended(&bundle.run(run).await).clone();
    assert_eq!((counts.inserted, counts.codes), (1, 1));
    let waiting = owed(&bundle).await;
    assert_eq!(waiting[0].0, Reason::MissingPrerequisite);
    bundle.run_until_quiet().await;

    let company = bundle.norce.companies().remove(0).row;
    assert_eq!(company.company_code, Some(organisation.number));
    assert_eq!(company.name.as_deref(), Some("Bolaget Aktiebolag"));
    let customer = bundle.norce.customer(id).unwrap().row;
    assert_eq!(customer.customer_code, Some(contact.number));
    assert!(bundle.norce.companies_of(id).contains(&company.id));
    // As a delta, from the company's side.
    let import = bundle.norce.imports().pop().unwrap();
    let row = &import.rows[0];
    assert_eq!(row["Id"], company.id);
    assert_eq!(row["IsCustomerListDelta"], true);
    assert_eq!(row["Customers"], json!([{"Id": id}]));
    assert_eq!(row.get("Code"), None, "the code is there already");

    // The next pass settles what was owed, and so does the sweep for an event that came before the relation; the pass
    // after that has nothing to do.
    bundle.pass(PassMode::Full).await;
    bundle.pass(PassMode::Sweep).await;
    assert_eq!(owed(&bundle).await, []);
    let imports = bundle.norce.imports().len();
    let run = bundle.pass(PassMode::Full).await;
    assert_eq!((ended(&run).seen, ended(&run).unchanged), (2, 2));
    assert_eq!(bundle.norce.imports().len(), imports);
    assert!(bundle.norce.contract_notes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_relation_to_a_company_that_norce_has_is_told_with_the_contact() {
    let bundle = Bundle::new(&Options {
        erp_owns: "code,active,company-relations".parse().unwrap(),
        pass: inserting(),
        ..Options::default()
    });
    let organisation = organisation_in_erp(&bundle);
    bundle.pass(PassMode::Full).await;
    let contact = contact_in_erp(&bundle, &organisation, 1);
    let run = bundle.pass(PassMode::Full).await;
    assert_eq!((ended(&run).inserted, ended(&run).waiting), (1, 0));
    let company = bundle.norce.companies().remove(0).row;
    let customer = bundle.norce.customers().remove(0).row;
    assert_eq!(customer.customer_code, Some(contact.number.clone()));
    assert!(bundle.norce.companies_of(customer.id).contains(&company.id));
    let import = bundle.norce.imports().pop().unwrap();
    let row = &import.rows[0];
    assert_eq!(
        row["Companies"],
        json!([{"Id": company.id, "IsPrimary": true}])
    );
    assert_eq!(row["IsCompanyListDelta"], true);
    // Somebody moves another customer into the company in Norce: a delta does not take it out again.
    let other = bundle.norce.add_customer(person(2));
    bundle.norce.link(other, company.id, false);
    bundle
        .erp
        .edit_contact(bundle.erp_company(), contact.id, &json!({"jobTitle": "VD"}))
        .unwrap();
    bundle.pass(PassMode::Full).await;
    assert!(bundle.norce.companies_of(other).contains(&company.id));
    assert!(bundle.norce.contract_notes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_insert_of_a_contact_waits_for_its_company() {
    let bundle = Bundle::new(&Options {
        pass: inserting(),
        ..Options::default()
    });
    let organisation = organisation_in_erp(&bundle);
    let contact = contact_in_erp(&bundle, &organisation, 1);
    let run = bundle.pass(PassMode::Full).await;
    assert_eq!((ended(&run).inserted, ended(&run).waiting), (1, 1));
    let company = bundle.norce.companies().remove(0).row;
    let customer = bundle.norce.customers().remove(0).row;
    assert_eq!(customer.customer_code, Some(contact.number));
    let relations = bundle.norce.relations();
    assert_eq!(relations.len(), 1);
    assert_eq!(
        (relations[0].company_id, relations[0].is_primary),
        (company.id, true)
    );
    const COMPANY_CONTACT: i64 = 2;
    assert_eq!(customer.type_id, COMPANY_CONTACT);
    bundle.pass(PassMode::Full).await;
    assert_eq!(owed(&bundle).await, []);
    assert!(bundle.norce.contract_notes().is_empty());
}

/// However many there are: in messages that SQS takes, and rows that fit into a batch.
#[tokio::test(start_paused = true)]
async fn many_contacts_wait_for_their_company_and_all_come_with_it_in_messages_of_a_hundred() {
    const CONTACTS: usize = 250;
    let bundle = Bundle::new(&Options {
        pass: inserting(),
        ..Options::default()
    });
    let organisation = organisation_in_erp(&bundle);
    for number in 0..CONTACTS {
        contact_in_erp(&bundle, &organisation, number);
    }
    let run = bundle.pass(PassMode::Full).await;
    assert_eq!(ended(&run).waiting, CONTACTS as u64);
    let delivered = bundle.delivered.lock().unwrap().clone();
    let requests = delivered
        .iter()
        .filter_map(|body| serde_json::from_str::<ImportRequest>(body).ok());
    let lines: Vec<usize> = requests.map(|request| request.lines.len()).collect();
    assert_eq!(lines, [1, 100, 100, 50]);
    let company = bundle.norce.companies().remove(0).row;
    let customers = bundle.norce.customers();
    assert_eq!(customers.len(), CONTACTS);
    for customer in customers {
        let companies = bundle.norce.companies_of(customer.row.id);
        assert!(companies.contains(&company.id), "{}", customer.row.id);
    }
    assert!(bundle.norce.contract_notes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_price_list_that_norce_does_not_have_is_owed_and_holds_nobody_up() {
    let bundle = Bundle::new(&Options {
        extended_erp: true,
        ..Options::default()
    });
    bundle.norce.add_code(CodeList::PriceLists, "VIP", 7);
    let mut customers = Vec::new();
    for number in 0..8 {
        let id = bundle.norce.add_customer(person(number));
        customers.push((id, person_in_erp(&bundle, number)));
    }
    bundle.run_until_quiet().await;
    bundle.pass(PassMode::Full).await;
    let edit = |place: usize, group: &str| {
        let (company, id) = (bundle.erp_company(), customers[place].1.id);
        bundle
            .erp
            .edit_customer(company, id, &json!({"customerPriceGroup": group}))
            .unwrap();
    };
    for place in 0..8 {
        edit(place, if place == 3 { "NOSUCH" } else { "VIP" });
    }
    // So much later that the overlap of the next one does not read them again.
    tokio::time::sleep(DAY).await;
    let run = bundle.pass(PassMode::Delta).await;
    assert_eq!(ended(&run).fields, 8);
    let lists = |place: usize| {
        let (id, _) = customers[place];
        let customer = bundle.norce.customer(id).unwrap();
        customer.details.price_lists.len()
    };
    for place in 0..8 {
        assert_eq!(lists(place), usize::from(place != 3), "{place}");
    }
    let still_owed = owed(&bundle).await;
    assert_eq!(still_owed.len(), 1, "{still_owed:?}");
    assert!(still_owed[0].1.contains("NOSUCH"), "{still_owed:?}");
    // Norce has the row: it is not sent again automatically.
    let imports = bundle.norce.imports().len();
    bundle.pass(PassMode::Full).await;
    assert_eq!(bundle.norce.imports().len(), imports);
    // The merchant makes the list and tries again, and the next pass brings it although nothing has changed in the ERP.
    assert!(still_owed[0].1.contains("operator action `owed`"));
    bundle.norce.add_code(CodeList::PriceLists, "NOSUCH", 8);
    let retry = json!({"action": "owed", "do": "retry", "reason": "warned"});
    let retried = bundle.ask(retry).await.unwrap();
    assert_eq!(retried["retried"], 1, "{retried:#}");
    let run = bundle.pass(PassMode::Full).await;
    assert_eq!(ended(&run).fields, 1);
    assert_eq!(lists(3), 1);
    assert_eq!(owed(&bundle).await, []);
    // Taken away again.
    edit(0, "");
    bundle.pass(PassMode::Delta).await;
    assert_eq!(lists(0), 0);
}

/// However Norce's log shows the row, the warning stands with the entity that it is about, and nobody is owed the less for it.
#[tokio::test(start_paused = true)]
async fn p9_a_warning_is_owed_in_norces_words_and_the_row_is_not_sent_again() {
    for rows in [
        ImportedRows::Whole,
        ImportedRows::Truncated(60),
        ImportedRows::Null,
    ] {
        let bundle = Bundle::new(&Options {
            extended_erp: true,
            ..Options::default()
        });
        bundle
            .norce
            .configure(|settings| settings.jobs.imported_rows = rows);
        bundle.norce.add_code(CodeList::PriceLists, "VIP", 7);
        let mut customers = Vec::new();
        for number in 0..3 {
            let id = bundle.norce.add_customer(person(number));
            customers.push((id, person_in_erp(&bundle, number)));
        }
        bundle.run_until_quiet().await;
        bundle.pass(PassMode::Full).await;
        for (place, (_, record)) in customers.iter().enumerate() {
            let group = if place == 1 { "NOSUCH" } else { "VIP" };
            let properties = json!({"customerPriceGroup": group});
            bundle
                .erp
                .edit_customer(bundle.erp_company(), record.id, &properties)
                .unwrap();
        }
        tokio::time::sleep(DAY).await;
        bundle.pass(PassMode::Delta).await;
        let warned: Vec<Owed> = bundle.owed.list().await.unwrap();
        let of = |place: usize| Subject::Entity(customer(customers[place].0));
        assert!(
            warned.iter().any(|owed| owed.subject == of(1)),
            "{warned:#?}"
        );
        for owed in &warned {
            assert_eq!(
                (owed.reason, owed.stage),
                (Reason::Warned, Stage::FieldsToNorce)
            );
            assert!(
                owed.detail.contains("There is no price list NOSUCH"),
                "{}",
                owed.detail
            );
        }
        match rows {
            // Any of the three may be meant, and each says so.
            ImportedRows::Null => {
                assert_eq!(warned.len(), 3);
                assert!(
                    warned
                        .iter()
                        .all(|owed| owed.detail.contains("which of 3 rows"))
                );
            }
            _ => assert_eq!(warned.len(), 1, "{rows:?}: {warned:#?}"),
        }
        let imports = bundle.norce.imports().len();
        tokio::time::sleep(DAY).await;
        bundle.pass(PassMode::Full).await;
        bundle.retry_owed().await;
        bundle.run_until_quiet().await;
        assert_eq!(bundle.norce.imports().len(), imports, "{rows:?}");
        // Corrected in the ERP: the next line clears it.
        for (_, record) in &customers {
            let properties = json!({"customerPriceGroup": ""});
            bundle
                .erp
                .edit_customer(bundle.erp_company(), record.id, &properties)
                .unwrap();
        }
        bundle.pass(PassMode::Delta).await;
        assert_eq!(bundle.owed.list().await.unwrap(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn flags_and_additional_info_are_told_where_the_erp_owns_them() {
    let bundle = Bundle::new(&Options {
        extended_erp: true,
        erp_owns: "code,flags,additional-info".parse().unwrap(),
        ..Options::default()
    });
    bundle.norce.add_code(CodeList::Flags, "VIP", 3);
    bundle.norce.add_code(CodeList::InfoTypes, "segment", 4);
    let id = bundle.norce.add_customer(person(1));
    let record = person_in_erp(&bundle, 1);
    bundle.run_until_quiet().await;
    bundle.pass(PassMode::Full).await;
    let edit = |properties: serde_json::Value| {
        let company = bundle.erp_company();
        bundle
            .erp
            .edit_customer(company, record.id, &properties)
            .unwrap();
    };
    edit(json!({"isVip": true, "segmentCode": "GOLD"}));
    bundle.pass(PassMode::Delta).await;
    let details = bundle.norce.customer(id).unwrap().details;
    assert_eq!(details.flags.len(), 1);
    assert_eq!(details.infos.len(), 1);
    assert_eq!(owed(&bundle).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_person_that_norce_does_not_have_is_inserted_if_complete_and_gets_an_account_where_configured()
 {
    let bundle = Bundle::new(&Options {
        erp_owns: "code,price-lists,active".parse().unwrap(),
        pass: inserting(),
        create_accounts: true,
        imports: ImportOptions {
            account_roles: vec!["B2C".to_owned()],
            ..ImportOptions::default()
        },
        ..Options::default()
    });
    bundle.norce.add_code(CodeList::Roles, "B2C", 5);
    let record = person_in_erp(&bundle, 1);
    // One word is no first and last name; without an address nobody can log in; the blocked are not let in.
    in_erp(
        &bundle,
        &json!({"displayName": "Prince", "type": "Person", "email": "prince@example.com"}),
    );
    in_erp(&bundle, &json!({"displayName": "Bo Ek", "type": "Person"}));
    in_erp(
        &bundle,
        &json!({"displayName": "Eva Lund", "type": "Person", "email": "eva@example.com", "blocked": "All"}),
    );
    let run = bundle.pass(PassMode::Full).await;
    let counts = ended(&run);
    assert_eq!(counts.inserted, 1);
    assert_eq!(
        counts.skipped["not in Norce, and lacks what Norce requires"],
        2
    );
    assert_eq!(counts.skipped["not in Norce, and blocked in the ERP"], 1);
    let customers = bundle.norce.customers();
    assert_eq!(customers.len(), 1);
    let row = &customers[0].row;
    assert_eq!(row.customer_code, Some(record.number.clone()));
    assert_eq!(row.email_address.as_deref(), Some("Anna.1@Example.com"));
    // One for each application, and only what says how it is created is set.
    assert_eq!(customers[0].accounts.len(), 2);
    let roles: Vec<usize> = customers[0].roles.values().map(BTreeSet::len).collect();
    assert_eq!(roles, [1, 1]);
    let import = &bundle.norce.imports()[0];
    assert_eq!(
        import.header["AccountFieldsThatAreSet"],
        json!(["StatusCreateOnly", "RolesCreateOnly"])
    );
    assert!(bundle.norce.contract_notes().is_empty());
    // What was inserted is bound, and is not inserted again.
    let imports = bundle.norce.imports().len();
    let run = bundle.pass(PassMode::Full).await;
    assert_eq!((ended(&run).unchanged, ended(&run).inserted), (1, 0));
    assert_eq!(bundle.norce.imports().len(), imports);
    // Accounts are never touched afterwards.
    bundle
        .erp
        .edit_customer(bundle.erp_company(), record.id, &json!({"blocked": "All"}))
        .unwrap();
    bundle.pass(PassMode::Delta).await;
    let import = bundle.norce.imports().pop().unwrap();
    assert_eq!(import.rows[0].get("Accounts"), None);
}

/// A customer that Norce has under its code, and whose price list changes in the ERP. Nothing but the job tells whether
/// Norce has it.
struct Priced {
    bundle: Bundle,
    id: i64,
}

impl Priced {
    async fn new() -> Self {
        let bundle = Bundle::new(&Options {
            extended_erp: true,
            ..Options::default()
        });
        bundle.norce.add_code(CodeList::PriceLists, "VIP", 7);
        drop_events(&bundle);
        let id = bundle.norce.add_customer(person(1));
        let record = person_in_erp(&bundle, 1);
        bundle.pass(PassMode::Full).await;
        assert_eq!(bundle.customer_code(id).as_ref(), Some(&record.number));
        bundle
            .erp
            .edit_customer(
                bundle.erp_company(),
                record.id,
                &json!({"customerPriceGroup": "VIP"}),
            )
            .unwrap();
        Self { bundle, id }
    }

    fn price_lists(&self) -> usize {
        let customer = self.bundle.norce.customer(self.id).unwrap();
        customer.details.price_lists.len()
    }

    async fn owed(&self) -> Vec<(Stage, Reason)> {
        let owed = self.bundle.owed.list().await.unwrap();
        owed.iter().map(|owed| (owed.stage, owed.reason)).collect()
    }
}

/// Reading back shows the code, which was there before, and says nothing of the fields: they are submitted again.
#[tokio::test(start_paused = true)]
async fn p9_fields_whose_job_is_lost_are_submitted_again_although_norce_has_the_code() {
    for effect in [
        Effect::Close,
        Effect::status(500),
        Effect::DoneThenClose,
        Effect::DoneThenStatus { status: 504 },
    ] {
        let priced = Priced::new().await;
        let norce = &priced.bundle.norce;
        norce.inject(&[Endpoint::ImportCustomers], When::Times(1), effect.clone());
        let before = norce.imports().len();
        priced.bundle.pass(PassMode::Delta).await;
        assert_eq!(priced.price_lists(), 1, "{effect:?}");
        assert_eq!(priced.owed().await, []);
        let is_done = matches!(
            effect,
            Effect::DoneThenClose | Effect::DoneThenStatus { .. }
        );
        let imports = norce.imports().len() - before;
        assert_eq!(imports, if is_done { 2 } else { 1 }, "{effect:?}");
    }

    // Norce has taken the job, has not begun with it, and no longer knows it.
    let priced = Priced::new().await;
    let norce = &priced.bundle.norce;
    norce.configure(|settings| settings.jobs.never_finish = true);
    priced.bundle.start_pass(PassMode::Delta).await;
    priced.bundle.run_for(Duration::from_secs(60)).await;
    assert_eq!(priced.price_lists(), 0);
    norce.configure(|settings| settings.jobs.never_finish = false);
    norce.inject(&[Endpoint::JobGet], When::Times(1), Effect::status(404));
    priced.bundle.run_until_quiet().await;
    assert_eq!(priced.price_lists(), 1);
    assert_eq!(priced.owed().await, []);
}

/// However the job fails: the fields are owed, and the next pass tells them again once Norce takes them.
#[tokio::test(start_paused = true)]
async fn p9_fields_whose_job_fails_are_owed_although_norce_has_the_code() {
    let poisons = [
        PoisonMode::RowFails,
        PoisonMode::RowFailsJobFails,
        PoisonMode::JobFails,
        PoisonMode::ValidationFails,
        PoisonMode::NoJob,
    ];
    for mode in poisons.map(Some).into_iter().chain([None]) {
        let priced = Priced::new().await;
        let norce = &priced.bundle.norce;
        match mode {
            Some(mode) => norce.poison(Poison {
                rows: PoisonRows::Ids([priced.id].into()),
                mode,
                message: "the row is poison".to_owned(),
            }),
            None => norce.configure(|settings| settings.jobs.never_finish = true),
        }
        priced.bundle.start_pass(PassMode::Delta).await;
        priced.bundle.run_for(2 * DAY).await;
        let reason = match mode {
            Some(PoisonMode::JobFails) => Reason::RemoteFault,
            Some(_) => Reason::Validation,
            None => Reason::TimedOut,
        };
        assert_eq!(priced.price_lists(), 0, "{mode:?}");
        assert_eq!(priced.owed().await, [(Stage::FieldsToNorce, reason)]);
        norce.clear_poison();
        norce.configure(|settings| settings.jobs.never_finish = false);
        priced.bundle.start_pass(PassMode::Delta).await;
        priced.bundle.run_for(DAY).await;
        assert_eq!(priced.price_lists(), 1, "{mode:?}");
        assert_eq!(priced.owed().await, []);
    }
}

/// The job counts as carried out, so that nothing is submitted twice; and Norce's words reach whoever can judge them.
#[tokio::test(start_paused = true)]
async fn p9_an_error_of_no_row_in_a_job_that_has_succeeded_is_owed_in_norces_words() {
    let priced = Priced::new().await;
    let norce = &priced.bundle.norce;
    norce.poison(Poison {
        rows: PoisonRows::Ids([priced.id].into()),
        mode: PoisonMode::RowErrsUnnamed,
        message: "something went wrong".to_owned(),
    });
    let imports = norce.imports().len();
    priced.bundle.pass(PassMode::Delta).await;
    assert_eq!(norce.imports().len(), imports + 1);
    let warned = (Stage::FieldsToNorce, Reason::Warned);
    assert_eq!(priced.owed().await, [warned]);
    let owed = priced.bundle.owed.list().await.unwrap().remove(0);
    assert!(owed.detail.contains("something went wrong"), "{owed:#?}");
}

/// Whatever is known of its job: reading it back shows that it is there.
#[tokio::test(start_paused = true)]
async fn p9_a_code_that_norce_has_is_confirmed_and_never_submitted_again() {
    #[derive(Debug, PartialEq)]
    enum Trouble {
        JobIsUnknown,
        AnswerIsLost,
        OneRowFailsTheJob,
        JobFails,
        JobNeverEnds,
    }
    for trouble in [
        Trouble::JobIsUnknown,
        Trouble::AnswerIsLost,
        Trouble::OneRowFailsTheJob,
        Trouble::JobFails,
        Trouble::JobNeverEnds,
    ] {
        let bundle = Bundle::new(&Options::default());
        let norce = &bundle.norce;
        norce.configure(|settings| {
            settings.events.drop_chance = 1.0;
            // Carried out by the time of the first look.
            settings.jobs.delay = Duration::from_secs(1);
            settings.jobs.never_finish = trouble == Trouble::JobNeverEnds;
        });
        // A row that is alone is refused whatever is said of it.
        let count = if trouble == Trouble::JobFails { 1 } else { 3 };
        let customers: Vec<(i64, CustomerRecord)> = (0..count)
            .map(|number| {
                let id = norce.add_customer(person(number));
                (id, person_in_erp(&bundle, number))
            })
            .collect();
        let poison = |mode| Poison {
            rows: PoisonRows::Ids([customers[0].0].into()),
            mode,
            message: "the row is poison".to_owned(),
        };
        match trouble {
            Trouble::JobIsUnknown => {
                norce.inject(&[Endpoint::JobGet], When::Always, Effect::status(404));
            }
            Trouble::AnswerIsLost => norce.inject(
                &[Endpoint::ImportCustomers],
                When::Times(1),
                Effect::DoneThenClose,
            ),
            Trouble::OneRowFailsTheJob => norce.poison(poison(PoisonMode::RowFailsJobFails)),
            Trouble::JobFails => norce.poison(poison(PoisonMode::JobFails)),
            Trouble::JobNeverEnds => {}
        }
        bundle.start_pass(PassMode::Full).await;
        if matches!(trouble, Trouble::JobFails | Trouble::JobNeverEnds) {
            while norce.imports().is_empty() {
                bundle.run_for(Duration::from_millis(100)).await;
            }
            // Somebody else puts the codes into Norce.
            for (id, record) in &customers {
                norce.change_customer(*id, |customer| {
                    customer.row.customer_code = Some(record.number.clone());
                });
            }
        }
        bundle.run_for(2 * DAY).await;
        assert_eq!(norce.imports().len(), 1, "{trouble:?}");
        let refused = usize::from(trouble == Trouble::OneRowFailsTheJob);
        assert_eq!(owed(&bundle).await.len(), refused, "{trouble:?}");
        for (id, record) in &customers[refused..] {
            assert_eq!(bundle.customer_code(*id).as_ref(), Some(&record.number));
            let mapping = bundle.mappings.get(customer(*id)).await.unwrap();
            let Some(Mapping::Bound(binding)) = mapping else {
                panic!("not bound");
            };
            assert!(
                matches!(binding.delivery, CodeDelivery::Confirmed { .. }),
                "{trouble:?}"
            );
        }
    }
}

/// The log names the row as it was sent: an insert has no id.
#[tokio::test(start_paused = true)]
async fn p9_an_insert_that_norce_refuses_is_told_from_the_others_by_its_code() {
    let bundle = Bundle::new(&Options {
        pass: inserting(),
        ..Options::default()
    });
    let records: Vec<CustomerRecord> = (0..5)
        .map(|number| person_in_erp(&bundle, number))
        .collect();
    let poison = &records[2].number;
    bundle.norce.poison(Poison {
        rows: PoisonRows::Codes([poison.clone()].into()),
        mode: PoisonMode::RowFails,
        message: "the row is poison".to_owned(),
    });
    tokio::time::sleep(DAY).await;
    bundle.pass(PassMode::Full).await;
    let inserted = || {
        let customers = bundle.norce.customers();
        let codes = customers.into_iter().filter_map(|it| it.row.customer_code);
        let mut codes: Vec<String> = codes.collect();
        codes.sort();
        codes
    };
    let all: Vec<String> = records.iter().map(|record| record.number.clone()).collect();
    let others: Vec<String> = all.iter().filter(|code| *code != poison).cloned().collect();
    assert_eq!(inserted(), others);
    assert_eq!(bundle.norce.imports().len(), 1, "nothing had to be halved");
    let left = bundle.owed.list().await.unwrap();
    assert_eq!(left.len(), 1, "{left:#?}");
    assert_eq!(
        (
            left[0].stage,
            left[0].reason,
            left[0].code.as_ref().map(ToString::to_string)
        ),
        (
            Stage::FieldsToNorce,
            Reason::Validation,
            Some(poison.clone())
        )
    );
    assert!(
        left[0].detail.starts_with("Norce refused the row"),
        "{left:#?}"
    );
    assert!(left[0].detail.contains("the row is poison"), "{left:#?}");
    // The next pass inserts it, although nothing has changed in the ERP.
    bundle.norce.clear_poison();
    let run = bundle.pass(PassMode::Delta).await;
    assert_eq!((ended(&run).seen, ended(&run).inserted), (1, 1));
    assert_eq!(inserted(), all);
    assert_eq!(owed(&bundle).await, []);
}

/// Where the merchant's API page has it, whatever VAT number stands beside it. Contacts have no such fields, and are read
/// without them.
#[tokio::test(start_paused = true)]
async fn a_company_is_found_by_the_organisation_number_of_the_merchants_own_page() {
    for (number, vat_number) in [
        ("556036-0793", ""),
        ("5560360793", ""),
        ("556036-0793", "SE556012579001"),
        ("", "SE556036079301"),
    ] {
        let bundle = Bundle::new(&Options {
            extended_erp: true,
            ..Options::default()
        });
        let id = bundle.norce.add_company(NewCompany {
            name: Some("Bolaget AB".to_owned()),
            organization_no: Some("556036-0793".to_owned()),
            ..NewCompany::default()
        });
        let buyer = bundle.norce.add_customer(person(1));
        bundle.norce.link(buyer, id, true);
        let organisation = in_erp(
            &bundle,
            &json!({"displayName": "Bolaget Aktiebolag", "type": "Company",
                "registrationNumber": number, "taxRegistrationNumber": vat_number}),
        );
        let contact = contact_in_erp(&bundle, &organisation, 1);
        bundle.run_until_quiet().await;
        let run = bundle.pass(PassMode::Full).await;
        assert_eq!(ended(&run).codes, 2, "{number} {vat_number}: {run:#?}");
        assert_eq!(
            bundle.norce.company(id).unwrap().row.company_code,
            Some(organisation.number)
        );
        assert_eq!(bundle.customer_code(buyer), Some(contact.number));
    }
}

/// Nothing but the relation: the contact moves to another organisation in the ERP, which Norce has already, or only gets. What
/// somebody has related in Norce stays.
#[tokio::test(start_paused = true)]
async fn a_contact_that_moves_to_another_organisation_is_related_to_it_and_no_longer_to_its_former_one()
 {
    for is_known in [true, false] {
        let bundle = Bundle::new(&Options {
            erp_owns: "code,names,active,company-relations".parse().unwrap(),
            pass: inserting(),
            ..Options::default()
        });
        let organisation = organisation_in_erp(&bundle);
        let contact = contact_in_erp(&bundle, &organisation, 1);
        let other = || {
            in_erp(
                &bundle,
                &json!({"displayName": "Firman Aktiebolag", "type": "Company",
                    "taxRegistrationNumber": "SE556012579001"}),
            )
        };
        if is_known {
            other();
        }
        bundle.pass(PassMode::Full).await;
        bundle.pass(PassMode::Full).await;
        assert_eq!(owed(&bundle).await, []);
        if !is_known {
            other();
        }
        let contacts = bundle.erp.contacts(bundle.erp_company());
        let firm = contacts
            .iter()
            .find(|it| it.display_name == "Firman Aktiebolag");
        let moved = json!({"companyNumber": firm.unwrap().number});
        bundle
            .erp
            .edit_contact(bundle.erp_company(), contact.id, &moved)
            .unwrap();
        let before = bundle.norce.imports().len();
        let run = bundle.pass(PassMode::Delta).await;
        let counts = ended(&run);
        let expected = if is_known { (1, 0) } else { (0, 1) };
        assert_eq!((counts.fields, counts.waiting), expected, "{run:#?}");
        let customer = bundle.norce.customers().remove(0).row;
        let companies = bundle.norce.companies();
        let find = |name: &str| {
            let mut companies = companies.iter().map(|company| &company.row);
            companies
                .find(|row| row.name.as_deref() == Some(name))
                .unwrap()
                .id
        };
        let (old, new) = (find("Bolaget Aktiebolag"), find("Firman Aktiebolag"));
        if !is_known {
            // The company waits for nobody, its relation for the company, and the end of the former one for the next pass.
            assert_eq!(bundle.norce.companies_of(customer.id), [old, new].into());
        }
        let imports = bundle.norce.imports().split_off(before);
        let rows: Vec<_> = imports.iter().flat_map(|it| &it.rows).collect();
        let last = rows.last().unwrap();
        if is_known {
            assert_eq!(rows.len(), 1);
            let relation = json!({"Id": customer.id,
                "Companies": [{"Id": new, "IsPrimary": true}], "IsCompanyListDelta": false});
            assert_eq!(**last, relation);
        } else {
            assert_eq!(rows.len(), 2, "the company, and then the relation");
            assert_eq!(last["Customers"], json!([{"Id": customer.id}]));
        }
        bundle.pass(PassMode::Delta).await;
        assert_eq!(bundle.norce.companies_of(customer.id), [new].into());
        let imports = bundle.norce.imports().len();
        bundle.pass(PassMode::Full).await;
        assert_eq!(owed(&bundle).await, []);
        assert_eq!(bundle.norce.imports().len(), imports);
        assert!(bundle.norce.contract_notes().is_empty());
    }
}

fn find_contact(bundle: &Bundle, id: Uuid) -> ContactRecord {
    let contacts = bundle.erp.contacts(bundle.erp_company());
    contacts.into_iter().find(|it| it.id == id).unwrap()
}

/// A contact of an organisation in both, and a company that somebody has related to it in Norce.
async fn contact_of_two(bundle: &Bundle) -> (ContactRecord, i64, [i64; 2]) {
    let organisation = organisation_in_erp(bundle);
    let contact = contact_in_erp(bundle, &organisation, 1);
    bundle.pass(PassMode::Full).await;
    bundle.pass(PassMode::Full).await;
    let customer = bundle.norce.customers().remove(0).row.id;
    let company = bundle.norce.companies().remove(0).row.id;
    let by_hand = bundle.norce.add_company(NewCompany {
        name: Some("Kedjan AB".to_owned()),
        ..NewCompany::default()
    });
    bundle.norce.link(customer, by_hand, false);
    bundle.run_until_quiet().await;
    (contact, customer, [company, by_hand])
}

/// Business Central deletes them with their organisation's contact (erp-apis §1.3).
#[tokio::test(start_paused = true)]
async fn the_people_of_an_organisation_whose_contact_is_deleted_are_gone_and_it_is_not() {
    let bundle = Bundle::new(&relations_of_the_erp());
    let organisation = organisation_in_erp(&bundle);
    for number in 1..=2 {
        contact_in_erp(&bundle, &organisation, number);
    }
    bundle.pass(PassMode::Full).await;
    bundle.pass(PassMode::Full).await;
    let erp_company = bundle.erp_company();
    let contacts = bundle.erp.contacts(erp_company);
    let own = contacts.iter().find(|it| it.r#type == "Company").unwrap();
    bundle.erp.delete_contact(erp_company, own.id).unwrap();
    assert_eq!(bundle.erp.contacts(erp_company).len(), 0);
    bundle.pass(PassMode::Full).await;
    let gone = async |entity| match bundle.mappings.get(entity).await.unwrap() {
        Some(Mapping::Bound(binding)) => binding.gone_at.is_some(),
        other => panic!("{other:?}"),
    };
    let customers = bundle.norce.customers();
    assert_eq!(customers.len(), 2);
    for row in customers {
        assert!(gone(customer(row.row.id)).await);
    }
    let company = bundle.norce.companies().remove(0).row.id;
    assert!(!gone(tests::bundle::company(company)).await);
}

/// The contact leaves its organisation in the ERP.
fn leaves(bundle: &Bundle, contact: &ContactRecord) {
    let alone = json!({"companyNumber": ""});
    let company = bundle.erp_company();
    bundle
        .erp
        .edit_contact(company, contact.id, &alone)
        .unwrap();
}

fn relations_of_the_erp() -> Options {
    Options {
        erp_owns: "code,company-relations".parse().unwrap(),
        pass: inserting(),
        ..Options::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_relation_that_the_erp_ends_ends_in_norce_and_the_contact_is_updated_as_before() {
    let bundle = Bundle::new(&relations_of_the_erp());
    let (contact, customer, [company, by_hand]) = contact_of_two(&bundle).await;
    leaves(&bundle, &contact);
    bundle.pass(PassMode::Delta).await;
    assert_eq!(bundle.norce.companies_of(customer), [by_hand].into());
    assert_ne!(company, by_hand);
    // Another change of the contact in the ERP sends nothing to Norce that was sent before.
    let title = json!({"jobTitle": "VD"});
    bundle
        .erp
        .edit_contact(bundle.erp_company(), contact.id, &title)
        .unwrap();
    let run = bundle.pass(PassMode::Delta).await;
    assert_eq!(ended(&run).fields, 0, "{run:#?}");
    // Its company in Norce is no longer the ERP's, and does not become that.
    bundle.norce.change_customer(customer, |record| {
        record.row.phone_number = Some("08-123 45".to_owned());
    });
    bundle.run_until_quiet().await;
    let contact = find_contact(&bundle, contact.id);
    assert_eq!(contact.company_number, "");
    assert_eq!(contact.phone_number, "08-123 45");
    assert_eq!(owed(&bundle).await, []);
    let imports = bundle.norce.imports().len();
    bundle.pass(PassMode::Full).await;
    assert_eq!(bundle.norce.imports().len(), imports);
    assert!(bundle.norce.contract_notes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_contact_stays_where_an_erp_that_owns_relations_has_it() {
    let bundle = Bundle::new(&relations_of_the_erp());
    let (contact, customer, [company, by_hand]) = contact_of_two(&bundle).await;
    bundle.norce.link(customer, by_hand, true);
    bundle.norce.unlink(customer, company);
    bundle.norce.place_order(NewOrder {
        application_id: 1,
        company: Some(by_hand),
        ..NewOrder::default()
    });
    bundle.run_until_quiet().await;
    let there = find_contact(&bundle, contact.id);
    assert_eq!(there.company_number, contact.company_number);
    assert_eq!(owed(&bundle).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_relation_whose_end_norce_refuses_is_ended_by_a_later_pass() {
    let bundle = Bundle::new(&relations_of_the_erp());
    let (contact, customer, [company, by_hand]) = contact_of_two(&bundle).await;
    leaves(&bundle, &contact);
    bundle.norce.poison(Poison {
        rows: PoisonRows::Ids([customer].into()),
        mode: PoisonMode::RowFails,
        message: "the row is poison".to_owned(),
    });
    bundle.pass(PassMode::Delta).await;
    assert_eq!(owed(&bundle).await.len(), 1);
    assert_eq!(
        bundle.norce.companies_of(customer),
        [company, by_hand].into()
    );
    bundle.norce.clear_poison();
    bundle.pass(PassMode::Delta).await;
    assert_eq!(bundle.norce.companies_of(customer), [by_hand].into());
    assert_eq!(owed(&bundle).await, []);
}

/// Whose an organisation's numbers are: a number that the ERP owns follows the ERP, one that it lacks stays in Norce, and a
/// change of the shop does not reach it.
#[tokio::test(start_paused = true)]
async fn n14_a_number_that_the_erp_owns_follows_it_and_is_never_emptied() {
    let bundle = Bundle::new(&Options {
        erp_owns: "code,vat-number".parse().unwrap(),
        pass: inserting(),
        ..Options::default()
    });
    let organisation = organisation_in_erp(&bundle);
    bundle.pass(PassMode::Full).await;
    bundle.pass(PassMode::Full).await;
    let id = bundle.norce.companies().remove(0).row.id;
    let (erp_company, number) = (bundle.erp_company(), organisation.id);
    let edit = |vat: &str| {
        let vat = json!({ "taxRegistrationNumber": vat });
        bundle.erp.edit_customer(erp_company, number, &vat).unwrap();
    };
    edit("SE556012579001");
    bundle.pass(PassMode::Delta).await;
    let company = bundle.norce.company(id).unwrap().row;
    assert_eq!(company.vat_no.as_deref(), Some("SE556012579001"));
    let row = bundle.norce.imports().pop().unwrap().rows.remove(0);
    assert_eq!(row.get("OrganizationNo"), None, "it is the shop's: {row}");
    assert_eq!(row.get("Code"), None);

    bundle.norce.change_company(id, |company| {
        company.row.vat_no = Some("SE556036079301".to_owned());
        company.row.organization_no = Some("556036-0793".to_owned());
    });
    bundle.run_until_quiet().await;
    let there = bundle.erp.customers(erp_company).remove(0);
    assert_eq!(there.tax_registration_number, "SE556012579001");

    let imports = bundle.norce.imports().len();
    edit("");
    bundle.pass(PassMode::Delta).await;
    assert_eq!(bundle.norce.imports().len(), imports);
    let company = bundle.norce.company(id).unwrap().row;
    assert_eq!(company.vat_no.as_deref(), Some("SE556036079301"));
    assert!(bundle.norce.contract_notes().is_empty());
}

/// An import cannot change a login name, so a login that stays behind is owed until a person has changed it or let it be.
#[tokio::test(start_paused = true)]
async fn n13_a_login_that_does_not_follow_an_e_mail_address_is_owed_with_advice_that_ends_it() {
    for login in ["anna.1@example.com", "anna", "moved@example.com"] {
        for dismissed in [false, true] {
            let bundle = Bundle::new(&Options {
                erp_owns: "code,contact-details".parse().unwrap(),
                create_accounts: true,
                pass: inserting(),
                ..Options::default()
            });
            let there = person_in_erp(&bundle, 1);
            bundle.pass(PassMode::Full).await;
            let id = bundle.norce.customers().remove(0).row.id;
            let set_login = |name: &str| {
                let name = Some(name.to_owned());
                bundle.norce.change_customer(id, |it| {
                    for account in &mut it.accounts {
                        account.login_name.clone_from(&name);
                    }
                });
            };
            set_login(login);
            bundle.run_until_quiet().await;
            let moved = json!({"email": "moved@example.com"});
            let company = bundle.erp_company();
            bundle.erp.edit_customer(company, there.id, &moved).unwrap();
            bundle.pass(PassMode::Delta).await;
            let row = bundle.norce.customer(id).unwrap().row;
            assert_eq!(row.email_address.as_deref(), Some("moved@example.com"));
            let reasons: Vec<Reason> = owed(&bundle).await.into_iter().map(|it| it.0).collect();
            if login != "anna.1@example.com" {
                assert_eq!(reasons, [], "{login}");
                continue;
            }
            assert_eq!(reasons, [Reason::Warned]);
            let act = if dismissed {
                json!({"action": "owed", "do": "dismiss", "subject": customer(id).to_string(),
                    "because": "the customer wants it so"})
            } else {
                set_login("moved@example.com");
                json!({"action": "owed", "do": "retry", "subject": customer(id).to_string()})
            };
            bundle.ask(act).await.unwrap();
            bundle.run_until_quiet().await;
            bundle.pass(PassMode::Full).await;
            let mut owed = bundle.owed.list().await.unwrap();
            owed.retain(|owed| owed.dismissed.is_none());
            assert_eq!(owed, []);
        }
    }
}

/// An import that ends a relation names all the others. Where Norce Query does not show the customer, they are not known, and
/// nothing is ended.
#[tokio::test(start_paused = true)]
async fn no_relation_ends_of_a_customer_that_query_does_not_show() {
    let bundle = Bundle::new(&relations_of_the_erp());
    let (contact, customer_id, [company, by_hand]) = contact_of_two(&bundle).await;
    leaves(&bundle, &contact);
    // The pass sees the customer; it is hidden from the moment in which the line waits to be submitted.
    let run = bundle.start_pass(PassMode::Delta).await[0];
    while bundle.pass_step().await {}
    assert!(bundle.run(run).await.ended.is_some());
    let hide = |ids: BTreeSet<i64>| {
        bundle
            .norce
            .configure(|settings| settings.query_hides = ids);
    };
    hide([customer_id].into());
    bundle.run_until_quiet().await;
    let waiting = owed(&bundle).await;
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    assert!(waiting[0].1.contains("does not show the customer"));
    hide(BTreeSet::new());
    assert_eq!(
        bundle.norce.companies_of(customer_id),
        [company, by_hand].into()
    );
    bundle.pass(PassMode::Delta).await;
    assert_eq!(bundle.norce.companies_of(customer_id), [by_hand].into());
    assert_eq!(owed(&bundle).await, []);
}

/// Lines are carried out late and in any order: what the ERP has in the end is what Norce has.
#[tokio::test(start_paused = true)]
async fn a_contact_that_moves_twice_before_norce_is_updated_belongs_to_its_last_organisation_alone()
{
    for back in [true, false] {
        let bundle = Bundle::new(&relations_of_the_erp());
        let (contact, customer, [first, by_hand]) = contact_of_two(&bundle).await;
        for (name, number) in [
            ("Firman Aktiebolag", "SE556012579001"),
            ("Handeln Aktiebolag", "SE556703748501"),
        ] {
            in_erp(
                &bundle,
                &json!({"displayName": name, "type": "Company", "taxRegistrationNumber": number}),
            );
        }
        bundle.pass(PassMode::Full).await;
        let number_of = |name: &str| {
            let contacts = bundle.erp.contacts(bundle.erp_company());
            let mut of_name = contacts.into_iter().filter(|it| it.display_name == name);
            of_name.next().unwrap().number
        };
        let last = match back {
            true => "Bolaget Aktiebolag",
            false => "Handeln Aktiebolag",
        };
        for to in ["Firman Aktiebolag", last] {
            let moved = json!({"companyNumber": number_of(to)});
            let company = bundle.erp_company();
            bundle
                .erp
                .edit_contact(company, contact.id, &moved)
                .unwrap();
            bundle.start_pass(PassMode::Delta).await;
            while bundle.pass_step().await {}
        }
        let before = bundle.norce.imports().len();
        bundle.run_until_quiet().await;
        let companies = bundle.norce.companies();
        let mut of_name = companies
            .iter()
            .filter(|it| it.row.name.as_deref() == Some(last));
        let last = of_name.next().unwrap().row.id;
        assert_eq!(back, last == first);
        // Norce may carry the rows out in any order, so each of them names the last one.
        let imports = bundle.norce.imports().split_off(before);
        let mut rows = imports.iter().flat_map(|import| &import.rows);
        let names_last = |row: &serde_json::Value| {
            let companies = row["Companies"].as_array().unwrap();
            companies.iter().any(|company| company["Id"] == last)
        };
        assert!(rows.all(names_last), "{imports:#?}");
        assert_eq!(
            bundle.norce.companies_of(customer),
            [last, by_hand].into(),
            "{back}"
        );
        bundle.pass(PassMode::Delta).await;
        assert_eq!(owed(&bundle).await, []);
        assert!(bundle.norce.contract_notes().is_empty());
    }
}

/// P12: Norce raises no event, and the record changes in the ERP before a sweep finds the flag.
#[tokio::test(start_paused = true)]
async fn p12_a_customer_that_norce_has_forgotten_does_not_get_its_data_back_from_the_erp() {
    let bundle = Bundle::new(&Options {
        erp_owns: "code,names,contact-details,invoice-address"
            .parse()
            .unwrap(),
        ..Options::default()
    });
    drop_events(&bundle);
    let [forgotten, other] = [1, 2].map(|number| {
        let id = bundle.norce.add_customer(person(number));
        (id, person_in_erp(&bundle, number))
    });
    bundle.pass(PassMode::Full).await;
    bundle
        .norce
        .forget_customer(forgotten.0, &Blank::Null, false);
    for (_, record) in [&forgotten, &other] {
        let named = json!({"displayName": "Berit Lind", "phoneNumber": "08-77"});
        bundle
            .erp
            .edit_customer(bundle.erp_company(), record.id, &named)
            .unwrap();
    }
    let imports = bundle.norce.imports().len();
    bundle.pass(PassMode::Delta).await;
    let sent: Vec<Value> = bundle.norce.imports()[imports..]
        .iter()
        .flat_map(|import| import.rows.clone())
        .collect();
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert_eq!(sent[0]["Id"], other.0);
    assert!(bundle.norce.contract_notes().is_empty());
    bundle.pass(PassMode::Sweep).await;
    assert_eq!(
        bundle.mappings.get(customer(forgotten.0)).await.unwrap(),
        Some(Mapping::Forgotten)
    );
}
