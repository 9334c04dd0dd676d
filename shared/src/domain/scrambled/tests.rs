use super::*;
use crate::domain::{AddressDetails, DeliveryAddress, EntityRef, NorceId, Scope};

/// The identifying fields of a customer: first and last name, e-mail address, telephone, first line of the address.
type Fields = [&'static str; 5];

fn customer([first, last, email, phone, line1]: Fields) -> Customer {
    let address = Address {
        line1: Personal::parse(line1),
        ..Address::default()
    };
    Customer {
        entity: EntityRef::customer(Scope::Client, NorceId::try_from(5).unwrap()),
        code: None,
        first_name: Personal::parse(first),
        middle_name: None,
        last_name: Personal::parse(last),
        title: None,
        email: Personal::parse(email),
        phone: Personal::parse(phone),
        mobile: None,
        invoice_address: Some(address),
        invoice_details: AddressDetails::default(),
        delivery_addresses: vec![],
        companies: vec![],
        accounts: vec![],
        flags: vec![],
        active: true,
        stopped: None,
        forgotten: false,
        unread: crate::domain::ShopFields::new(),
        merged_into: None,
        last_order: None,
    }
}

#[test]
fn what_removes_a_person_looks_scrambled_whatever_its_style() {
    let styles: [Fields; 24] = [
        // Nothing, and what stands for it.
        ["", "", "", "", ""],
        [" ", "\t", "", " ", ""],
        ["-", "-", "", "", ""],
        ["-", "-", "-", "-", "-"],
        ["x", "x", "x", "000000", "x"],
        ["N/A", "N/A", "N/A", "", "N/A"],
        ["null", "null", "null", "null", "null"],
        // One text everywhere, of which no list knows.
        ["Bortkopplad", "Bortkopplad", "Bortkopplad", "", ""],
        [
            "Bortkopplad",
            "BORTKOPPLAD",
            "",
            "Bortkopplad",
            "Bortkopplad",
        ],
        ["4711", "4711", "4711@forgotten.example", "4711", "4711"],
        // Masks.
        ["*****", "*****", "*****", "*****", "*****"],
        ["A***", "E**", "a***@e***.se", "", "S********"],
        ["•••", "•••", "", "", ""],
        // Words.
        ["Deleted", "Deleted", "deleted@shop.example", "", ""],
        ["Deleted", "User", "5@deleted.shop.example", "", ""],
        ["Raderad", "kund 4711", "", "", ""],
        [
            "[removed]",
            "[removed]",
            "[removed]",
            "[removed]",
            "[removed]",
        ],
        ["Anonym", "Person", "c2f1@forgotten.invalid", "", ""],
        ["GDPR", "GDPR", "gdpr@gdpr.gdpr", "000-000", "GDPR"],
        // An address that leads to nobody.
        ["", "", "5@forgotten.invalid", "", ""],
        ["", "", "5", "", ""],
        // Hashes.
        [
            "9f86d081884c7d65",
            "2c26b46b68ffc68f",
            "fcde2b2edba56bf4@removed.example",
            "",
            "",
        ],
        [
            "0b1c7b0e-6f0b-4f5e-9a53-3a5f0e6c5f11",
            "0b1c7b0e-6f0b-4f5e-9a53-3a5f0e6c5f11",
            "0b1c7b0e-6f0b-4f5e-9a53-3a5f0e6c5f11",
            "",
            "",
        ],
        ["", "Forgotten customer", "", "", ""],
    ];
    for style in styles {
        assert_eq!(
            Scrambling::of(&customer(style)),
            Scrambling::Yes,
            "{style:?}"
        );
        for former in [
            FormerEmail::Unknown,
            FormerEmail::Same,
            FormerEmail::Changed,
        ] {
            assert!(Scrambling::Yes.is_likely(former));
        }
    }
}

#[test]
fn what_an_ordinary_customer_may_have_looks_scrambled_only_once_its_email_address_is_another() {
    let few: [Fields; 8] = [
        // Guests.
        ["", "", "anna@example.com", "", ""],
        ["", "", "anonymous@example.com", "", ""],
        ["", "", "9f86d081884c7d65@marketplace.example", "", ""],
        ["-", "-", "anna@example.com", "", ""],
        [
            "Unknown",
            "Unknown",
            "9f86d081884c7d65@marketplace.example",
            "",
            "",
        ],
        ["x", "x", "anonymous@example.com", "", ""],
        ["Deleted", "User", "anna@example.com", "", ""],
        // A contact without anything else.
        ["Ali", "Ali", "", "", ""],
    ];
    for fields in few {
        let scrambling = Scrambling::of(&customer(fields));
        assert_eq!(scrambling, Scrambling::IfEmailChanged, "{fields:?}");
        assert!(scrambling.is_likely(FormerEmail::Changed));
        assert!(!scrambling.is_likely(FormerEmail::Same));
        assert!(!scrambling.is_likely(FormerEmail::Unknown));
    }
}

#[test]
fn an_ordinary_customer_never_looks_scrambled() {
    let ordinary: [Fields; 16] = [
        ["Anna", "Ek", "anna@example.com", "070-1", "Storgatan 1"],
        ["Anna", "Ek", "", "", ""],
        ["Anna", "", "", "", ""],
        ["", "Ek", "anna@example.com", "", ""],
        ["Li", "X", "", "", ""],
        ["A", "B", "", "", ""],
        ["Ali", "Ali", "ali@example.com", "", ""],
        ["Ali", "Ali", "", "070-123 45 68", ""],
        ["Anna", "Okänd", "", "", ""],
        ["-", "Ek", "", "", ""],
        ["Förnamn", "-", "deleted@example.com", "", ""],
        ["Anna", "Ek", "deleted@example.invalid", "", ""],
        ["", "", "", "08-123 45 68", ""],
        ["", "", "", "", "Storgatan 1"],
        ["***", "***", "", "070-123 45 68", ""],
        ["Deleted", "Ek", "", "", ""],
    ];
    for fields in ordinary {
        assert_eq!(
            Scrambling::of(&customer(fields)),
            Scrambling::No,
            "{fields:?}"
        );
        assert!(!Scrambling::No.is_likely(FormerEmail::Changed));
    }
}

#[test]
fn every_identifying_field_keeps_a_customer_from_looking_scrambled_and_no_other_does() {
    let text = || Personal::parse("Storgatan 12");
    let line = |address: fn(Address, Option<Personal>) -> Address| {
        let address = address(Address::default(), text());
        [
            Customer {
                invoice_address: Some(address.clone()),
                ..customer([""; 5])
            },
            Customer {
                delivery_addresses: vec![DeliveryAddress {
                    id: 1,
                    address,
                    details: AddressDetails::default(),
                }],
                ..customer([""; 5])
            },
        ]
    };
    let identifying = [
        line(|it, care_of| Address { care_of, ..it }),
        line(|it, line1| Address { line1, ..it }),
        line(|it, line2| Address { line2, ..it }),
    ];
    let mut identifying: Vec<Customer> = identifying.into_iter().flatten().collect();
    let blank = || customer([""; 5]);
    identifying.extend([
        Customer {
            first_name: text(),
            ..blank()
        },
        Customer {
            middle_name: text(),
            ..blank()
        },
        Customer {
            last_name: text(),
            ..blank()
        },
        Customer {
            phone: text(),
            ..blank()
        },
        Customer {
            mobile: text(),
            ..blank()
        },
    ]);
    for customer in identifying {
        assert_eq!(Scrambling::of(&customer), Scrambling::No);
    }
    let coarse = [
        line(|it, postal_code| Address { postal_code, ..it }),
        line(|it, city| Address { city, ..it }),
        line(|it, region| Address { region, ..it }),
    ];
    let titled = Customer {
        title: text(),
        ..blank()
    };
    for customer in coarse.into_iter().flatten().chain([titled]) {
        assert_eq!(Scrambling::of(&customer), Scrambling::Yes);
    }
}

#[test]
fn the_former_email_address_is_compared_as_addresses_are() {
    let keys = |emails: &[&str]| -> Vec<EmailKey> {
        emails.iter().filter_map(|it| EmailKey::parse(it)).collect()
    };
    let now = |email| customer(["", "", email, "", ""]);
    for (former, email, expected) in [
        (&[][..], "anna@example.com", FormerEmail::Unknown),
        (
            &["anna@example.com"],
            " Anna@EXAMPLE.com",
            FormerEmail::Same,
        ),
        (
            &["b@example.com", "a@example.com"],
            "a@example.com",
            FormerEmail::Same,
        ),
        (
            &["anna@example.com"],
            "anna@example.se",
            FormerEmail::Changed,
        ),
        (&["anna@example.com"], "", FormerEmail::Changed),
        (&["anna@example.com"], "*****", FormerEmail::Changed),
    ] {
        let former = keys(former);
        assert_eq!(
            FormerEmail::compare(&former, &now(email)),
            expected,
            "{email}"
        );
    }
}
