"""Signs and verifies requests without any code of the gateway.

`sign` signs with the library http-message-signatures. `verify` builds the base itself, because the
library asks for a key id, which apps do not send, and checks it with the library cryptography.
Cases come as JSON on standard input, results go as JSON to standard output.
"""

import base64
import datetime
import json
import re
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from http_message_signatures import HTTPMessageSigner, MappingKeyResolver, algorithms


class Request:
    def __init__(self, case):
        self.method, self.url, self.headers = case["method"], case["url"], dict(case["headers"])


def sign(case, key):
    is_install = case["label"] == "install"
    algorithm = algorithms.ECDSA_P256_SHA256 if is_install else algorithms.HMAC_SHA256
    secret = key if is_install else base64.b64decode(case["account_key"])
    resolver = MappingKeyResolver(public_keys={}, private_keys={"k": secret})
    request = Request(case)
    now = datetime.datetime.now(datetime.timezone.utc)
    HTTPMessageSigner(signature_algorithm=algorithm, key_resolver=resolver).sign(
        request,
        key_id="k",
        created=now,
        expires=now + datetime.timedelta(seconds=15),
        label=case["label"],
        covered_component_ids=case["components"],
    )
    return {name: request.headers[name] for name in ("Signature-Input", "Signature")}


def component(name, case):
    scheme, rest = case["url"].split("://")
    authority, slash, tail = rest.partition("/")
    path, mark, query = (slash + tail).partition("?")
    derived = {
        "@method": case["method"],
        "@target-uri": case["url"],
        "@authority": authority.lower(),
        "@scheme": scheme,
        "@path": path,
        "@query": "?" + query,
        "@request-target": path + mark + query,
    }
    if name.startswith("@"):
        return derived[name]
    return ", ".join(value.strip() for field, value in case["headers"] if field.lower() == name)


def verify(case):
    fields = {name.lower(): value for name, value in case["headers"]}
    label, parameters = fields["signature-input"].split("=", 1)
    signature = base64.b64decode(fields["signature"].split("=", 1)[1].strip(":"))
    names = re.findall(r'"([^"]+)"', parameters[: parameters.index(")")])
    lines = [f'"{name}": {component(name, case)}' for name in names]
    base = "\n".join(lines + [f'"@signature-params": {parameters}']).encode()
    claims = fields["approov-token"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    try:
        if label == "install":
            key = serialization.load_der_public_key(base64.b64decode(claims["ipk"]))
            half = [int.from_bytes(signature[at : at + 32], "big") for at in (0, 32)]
            key.verify(encode_dss_signature(*half), base, ec.ECDSA(hashes.SHA256()))
        else:
            mac = hmac.HMAC(base64.b64decode(case["account_key"]), hashes.SHA256())
            mac.update(base)
            mac.verify(signature)
        return True
    except InvalidSignature:
        return False


def main():
    if sys.argv[1] == "key":
        key = ec.generate_private_key(ec.SECP256R1())
        spki = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        print(json.dumps({"ipk": base64.b64encode(spki).decode(), "pem": pem.decode()}))
        return
    given = json.load(sys.stdin)
    if sys.argv[1] == "sign":
        key = serialization.load_pem_private_key(given["pem"].encode(), None)
        print(json.dumps([sign(case, key) for case in given["cases"]]))
    else:
        print(json.dumps([verify(case) for case in given["cases"]]))


main()
