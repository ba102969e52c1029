// The checks of the gateway for NGINX: signature, expiry, binding. Hashes are not compared in constant
// time, which would be expensive in the interpreter.
import crypto from 'crypto';

const secret = '{{ secret }}';
const binding = {{ setup.binding|int }};

function verify(request) {
    try {
        return isGenuine(request.rawHeadersIn) ? 'ok' : 'refused';
    } catch (error) {
        return 'refused';
    }
}

function isGenuine(headers) {
    const token = only(headers, 'approov-token');
    const dot = token.lastIndexOf('.');
    const signed = token.substring(0, dot);
    const signature = crypto.createHmac('sha256', secret).update(signed).digest('base64url');
    if (signature !== token.substring(dot + 1)) {
        return false;
    }
    const parts = signed.split('.');
    if (parts.length !== 2 || JSON.parse(decode(parts[0])).alg !== 'HS256') {
        return false;
    }
    const claims = JSON.parse(decode(parts[1]));
    if (typeof claims.exp !== 'number' || claims.exp <= Date.now() / 1000) {
        return false;
    }
    if (!binding) {
        return true;
    }
    const hash = crypto.createHash('sha256').update(only(headers, 'authorization')).digest('base64');
    return hash === claims.pay;
}

// The value of a header that is sent exactly once.
function only(headers, name) {
    const found = headers.filter(header => header[0].toLowerCase() === name);
    if (found.length !== 1) {
        throw new Error(name);
    }
    return found[0][1];
}

function decode(text) {
    return Buffer.from(text, 'base64url').toString();
}

export default { verify };
