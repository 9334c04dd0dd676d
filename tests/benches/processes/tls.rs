//! TLS in front of the stand-ins, with a private authority, and programs that trust it.
//!
//! The functions trust the roots that are compiled in, and there is no setting for others but for the ERP. So they are
//! measured as copies in which the key of one of these roots is replaced by the key of the private authority, which has the
//! name of that root: the same instructions over other data. The private key is in memory only, and the copies are removed.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
};

use rcgen::{DistinguishedName, DnType, DnValue, string::PrintableString};
use sandbox_tools::target;
use tests::lambda::{
    environment::{self, Variables},
    fake_aws::FakeAws,
    remotes::{Addresses, Remotes},
};

use super::authority::{Authority, Server};

/// A root on the curve P-256, with its name in parts. Others of that kind would do as well.
const ROOT: [(DnType, &str); 3] = [
    (DnType::CountryName, "US"),
    (DnType::OrganizationName, "Amazon"),
    (DnType::CommonName, "Amazon Root CA 3"),
];

/// The stand-ins behind TLS.
pub(crate) struct Tls {
    pub(crate) aws: String,
    pub(crate) addresses: Addresses,
    public_key: Vec<u8>,
    directory: PathBuf,
    _servers: [Server; 3],
}

impl Drop for Tls {
    fn drop(&mut self) {
        // A copy that is left behind trusts a key that no longer exists.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Tls {
    /// Serves the stand-ins over TLS as well.
    pub(crate) async fn serve(aws: &FakeAws, remotes: &Remotes) -> Self {
        let mut name = DistinguishedName::new();
        for (kind, part) in ROOT {
            let part = PrintableString::try_from(part).expect("plain letters");
            name.push(kind, DnValue::PrintableString(part));
        }
        let authority = Authority::named(name);
        let [of_aws, norce, erp] = [aws.router(), remotes.norce.router(), remotes.erp.router()]
            .map(|router| authority.serve(router));
        let servers = [
            of_aws.await.expect("a port"),
            norce.await.expect("a port"),
            erp.await.expect("a port"),
        ];
        let [aws, norce, erp] = servers
            .each_ref()
            .map(|server| format!("https://localhost:{}", server.port));
        // Two runs at the same time do not share copies.
        let directory = target().join(format!("processes-tls-{}", process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        let bundle = directory.join("authority.pem");
        fs::write(bundle, &authority.pem).expect("a file");
        Self {
            aws,
            addresses: Addresses { norce, erp },
            public_key: authority.public_key,
            directory,
            _servers: servers,
        }
    }

    /// A copy of a function that trusts the authority.
    ///
    /// # Errors
    /// The root is not in the function exactly once, or files cannot be read or written.
    pub(crate) fn trusting(&self, binary: &Path, name: &str) -> io::Result<PathBuf> {
        let key = root_key().ok_or_else(|| io::Error::other("the root is not compiled in"))?;
        let mut bytes = fs::read(binary)?;
        let places: Vec<usize> = bytes
            .windows(key.len())
            .enumerate()
            .filter(|(_, part)| *part == key)
            .map(|(place, _)| place)
            .collect();
        let [place] = places[..] else {
            let found = format!(
                "{}: the root is there {} times",
                binary.display(),
                places.len()
            );
            return Err(io::Error::other(found));
        };
        bytes[place..place + key.len()].copy_from_slice(&self.public_key);
        let copy = self.directory.join(name);
        // With its permissions.
        fs::copy(binary, &copy)?;
        fs::write(&copy, bytes)?;
        Ok(copy)
    }

    /// Lets an interpreter trust the authority: boto3, the `ssl` of Python, and Node.
    pub(crate) fn set_trust(&self, variables: &mut Variables) {
        let bundle = self.directory.join("authority.pem").display().to_string();
        for name in ["AWS_CA_BUNDLE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"] {
            environment::set(variables, name, &bundle);
        }
    }
}

/// The public key of the root, as a point of 65 bytes, which stands last in the root's description.
fn root_key() -> Option<&'static [u8]> {
    /// An uncompressed point: a byte that says so, and two coordinates.
    const POINT_BYTES: usize = 65;
    let (_, name) = &ROOT[2];
    let root = webpki_roots::TLS_SERVER_ROOTS.iter().find(|root| {
        let subject = root.subject.as_ref();
        subject.ends_with(name.as_bytes())
    })?;
    let info = root.subject_public_key_info.as_ref();
    info.get(info.len().checked_sub(POINT_BYTES)?..)
}
