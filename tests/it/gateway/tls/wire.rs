//! A TLS handshake over a real socket, with the results of both ends.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, NamedGroup, ProtocolVersion,
    RootCertStore, ServerConfig, ServerConnection, SignatureScheme, SupportedProtocolVersion,
};

use super::Identity;
use crate::harness::DEADLINE;
use crate::harness::tls::Authority;

/// One end of a connection after the handshake.
#[derive(Debug)]
pub struct End {
    pub kind: HandshakeKind,
    pub version: ProtocolVersion,
    pub alpn: Option<String>,
    pub group: Option<NamedGroup>,
    /// The peer's certificate chain, in DER.
    pub peer: Vec<CertificateDer<'static>>,
}

impl End {
    /// The names in the peer's certificate.
    pub fn names(&self) -> Vec<String> {
        approov_gateway::tls::Certificate::from_der(&self.peer[0]).unwrap().names()
    }
}

macro_rules! end {
    ($connection:expr) => {
        End {
            kind: $connection.handshake_kind().unwrap(),
            version: $connection.protocol_version().unwrap(),
            alpn: $connection.alpn_protocol().map(|id| String::from_utf8(id.to_vec()).unwrap()),
            group: $connection.negotiated_key_exchange_group().map(|group| group.name()),
            peer: $connection
                .peer_certificates()
                .unwrap_or_default()
                .iter()
                .map(|der| der.clone().into_owned())
                .collect(),
        }
    };
}

/// The results of both ends.
#[derive(Debug)]
pub struct Handshake {
    pub client: Result<End, String>,
    pub server: Result<End, String>,
}

impl Handshake {
    /// The client's end, if both ends succeeded.
    pub fn client(self) -> End {
        self.server.unwrap_or_else(|error| panic!("the server: {error}"));
        self.client.unwrap_or_else(|error| panic!("the client: {error}"))
    }

    /// The server's end, if both ends succeeded.
    pub fn server(self) -> End {
        self.client.unwrap_or_else(|error| panic!("the client: {error}"));
        self.server.unwrap_or_else(|error| panic!("the server: {error}"))
    }
}

/// Connects once and sends data in both directions, so that session tickets arrive.
pub fn connect(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>, name: &str) -> Handshake {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::scope(|scope| {
        let serving = scope.spawn(|| serve(server, limited(listener.accept().unwrap().0)));
        let client = ask(client, name, limited(TcpStream::connect(address).unwrap()));
        Handshake { client, server: serving.join().unwrap() }
    })
}

fn limited(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn serve(config: &Arc<ServerConfig>, mut stream: TcpStream) -> Result<End, String> {
    let mut connection = ServerConnection::new(config.clone()).unwrap();
    let mut word = [0; 5];
    let mut tls = rustls::Stream::new(&mut connection, &mut stream);
    tls.read_exact(&mut word).map_err(|error| error.to_string())?;
    tls.write_all(&word).map_err(|error| error.to_string())?;
    Ok(end!(connection))
}

fn ask(config: &Arc<ClientConfig>, name: &str, mut stream: TcpStream) -> Result<End, String> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut connection = ClientConnection::new(config.clone(), name).unwrap();
    let mut word = *b"hello";
    let mut tls = rustls::Stream::new(&mut connection, &mut stream);
    tls.write_all(&word).map_err(|error| error.to_string())?;
    tls.read_exact(&mut word).map_err(|error| error.to_string())?;
    assert_eq!(&word, b"hello");
    Ok(end!(connection))
}

/// The settings of a TLS client.
pub struct Client {
    provider: CryptoProvider,
    versions: Vec<&'static SupportedProtocolVersion>,
    /// `None` accepts every certificate.
    authority: Option<String>,
    identity: Option<(String, String)>,
    alpn: Vec<&'static str>,
    sni: bool,
}

impl Client {
    /// Trusts certificates of `authority`; all other settings are defaults.
    pub fn trusting(authority: &Authority) -> Self {
        Self { authority: Some(authority.pem.clone()), ..Self::credulous() }
    }

    /// Accepts every certificate.
    pub fn credulous() -> Self {
        Self {
            provider: aws_lc_rs::default_provider(),
            versions: vec![&rustls::version::TLS13, &rustls::version::TLS12],
            authority: None,
            identity: None,
            alpn: Vec::new(),
            sni: true,
        }
    }

    pub fn version(mut self, version: &'static SupportedProtocolVersion) -> Self {
        self.versions = vec![version];
        self
    }

    pub fn alpn(mut self, protocols: &[&'static str]) -> Self {
        self.alpn = protocols.to_vec();
        self
    }

    pub fn without_server_name(mut self) -> Self {
        self.sni = false;
        self
    }

    /// Offers these groups only, with a key share for the first one.
    pub fn groups(mut self, groups: &[NamedGroup]) -> Self {
        let find = |group: &NamedGroup| {
            *aws_lc_rs::ALL_KX_GROUPS.iter().find(|known| known.name() == *group).unwrap()
        };
        self.provider.kx_groups = groups.iter().map(find).collect();
        self
    }

    /// Offers TLS 1.2 with cipher suites and signatures for this kind of key only.
    pub fn suites(mut self, part: &str) -> Self {
        self.provider.cipher_suites.retain(|suite| format!("{suite:?}").contains(part));
        self
    }

    pub fn identity(mut self, identity: &Identity) -> Self {
        self.identity = Some((identity.chain.clone(), identity.key.clone()));
        self
    }

    pub fn build(self) -> Arc<ClientConfig> {
        let provider = Arc::new(self.provider);
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&self.versions)
            .unwrap();
        let builder = match &self.authority {
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
                builder.with_root_certificates(roots)
            }
            None => builder.dangerous().with_custom_certificate_verifier(Arc::new(Credulous(provider))),
        };
        let mut config = match &self.identity {
            Some((chain, key)) => {
                let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).map(Result::unwrap);
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain.collect(), key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.alpn.iter().map(|id| id.as_bytes().to_vec()).collect();
        config.enable_sni = self.sni;
        Arc::new(config)
    }
}

#[derive(Debug)]
struct Credulous(Arc<CryptoProvider>);

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, own, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, own, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
