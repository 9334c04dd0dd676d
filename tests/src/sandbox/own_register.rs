//! A register as merchants have them: with its own codes of countries, customers abroad, and contacts of vendors. Each is
//! compared with what Norce holds.

use super::{
    erp::{Record, Role},
    outcome::{Expectations, Sides},
    shop::{COUNTRY, DENMARK, NORWAY, country_of},
};

/// The part of the day that is about such a register.
#[derive(Debug, Default)]
pub(super) struct OwnRegister {
    /// The company of Norway.
    pub(super) foreign: Option<i64>,
    /// The company whose address names no country.
    pub(super) without_country: Option<i64>,
    /// The customer who has moved to Denmark.
    pub(super) mover: Option<i64>,
    /// The customer with the e-mail address of a vendor's contact, and that contact as it was when it was added.
    pub(super) namesake: Option<(i64, Record)>,
}

impl Sides<'_> {
    pub(super) fn check_own_register(&mut self, expected: &Expectations) {
        let OwnRegister {
            foreign,
            without_country,
            mover,
            namesake,
        } = &expected.own_register;
        if let Some(id) = foreign {
            self.check_company(*id, Some(NORWAY));
        }
        if let Some(id) = without_country {
            self.check_company(*id, None);
        }
        if let Some(id) = mover {
            self.check_mover(*id);
        }
        if let Some((id, contact)) = namesake {
            self.check_namesake(*id, contact);
        }
    }

    /// A company has the ERP's code of its country, and a number of that country. One without a country is of the home
    /// country.
    fn check_company(&mut self, id: i64, country: Option<&str>) {
        let Some(company) = self.companies.get(&id) else {
            return;
        };
        let address = company.details.addresses.first();
        let in_norce = country_of(address.and_then(|address| address.country_id));
        let record = self.erp.customer(company.row.company_code.as_deref());
        let there = record.map(|record| {
            let number = record.vat_number.replace(['-', ' '], "");
            (record.details.country.clone(), number)
        });
        let number = company.row.organization_no.clone().unwrap_or_default();
        let digits = number.replace('-', "");
        let erp = &self.shop.erp;
        let of = country.unwrap_or(COUNTRY);
        let expected = (erp.country_code(of).to_owned(), erp.number_of(of, &digits));
        if in_norce != country || there.as_ref() != Some(&expected) {
            let fault = format!(
                "company {id} is of {of}, and has country and number {expected:?} in the ERP then: its country is {in_norce:?} in Norce, and they are {there:?} in the ERP"
            );
            self.fault(fault);
        }
    }

    /// The country of the customer who has moved is the new one on both sides.
    fn check_mover(&mut self, id: i64) {
        let Some(customer) = self.customers.get(&id) else {
            return;
        };
        let address = customer.details.addresses.first();
        let in_norce = country_of(address.and_then(|address| address.country_id));
        let record = self.erp.customer(customer.row.customer_code.as_deref());
        let there = record.map(|record| &*record.details.country);
        let expected = self.shop.erp.country_code(DENMARK);
        if in_norce != Some(DENMARK) || there != Some(expected) {
            let fault = format!(
                "customer {id} has moved to {DENMARK}, which the ERP has as {expected}: it is in {in_norce:?} in Norce, and in {there:?} in the ERP"
            );
            self.fault(fault);
        }
    }

    /// The customer has a record of its own, and nobody has touched the contact of the vendor.
    fn check_namesake(&mut self, id: i64, contact: &Record) {
        let code = &contact.code;
        let there = self.erp.with_code(code);
        if there != [contact] {
            let fault = format!("{code} is a vendor's contact, and was touched in the ERP");
            self.fault(fault);
        }
        let customer = self.customers.get(&id);
        let of_customer = customer.and_then(|customer| customer.row.customer_code.as_deref());
        let record = self.erp.customer(of_customer);
        if of_customer == Some(code) || record.map(|record| record.role) != Some(Role::Customer) {
            let fault = format!(
                "customer {id} has the e-mail address of the vendor's contact {code} and should have a record of its own; its code is {of_customer:?}"
            );
            self.fault(fault);
        }
    }
}
