// The checks of the gateway as a Cloudflare worker: signature, expiry, binding. The key is imported
// once; many published workers import it for each request.
const encoder = new TextEncoder();
let key;

export default {
    async fetch(request, env) {
        if (!await isGenuine(request.headers, env).catch(() => false)) {
            return new Response('{}', { status: 401, headers: { 'content-type': 'application/json' } });
        }
        const headers = new Headers(request.headers);
        headers.delete('approov-token');
        headers.set('x-forwarded-proto', 'http');
        headers.set('x-forwarded-host', request.headers.get('host') ?? '');
        return env.API.fetch(new Request(request, { headers }));
    },
};

async function isGenuine(headers, env) {
    const [header, payload, signature, more] = (headers.get('approov-token') ?? '').split('.');
    if (signature === undefined || more !== undefined || JSON.parse(text(header)).alg !== 'HS256') {
        return false;
    }
    key ??= await crypto.subtle.importKey(
        'raw', encoder.encode(env.SECRET), { name: 'HMAC', hash: 'SHA-256' }, false, ['verify']);
    const signed = encoder.encode(`${header}.${payload}`);
    if (!await crypto.subtle.verify('HMAC', key, bytes(signature), signed)) {
        return false;
    }
    const claims = JSON.parse(text(payload));
    if (typeof claims.exp !== 'number' || claims.exp <= Date.now() / 1000) {
        return false;
    }
    if (!env.BINDING) {
        return true;
    }
    const value = headers.get('authorization');
    if (value === null || typeof claims.pay !== 'string') {
        return false;
    }
    const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', encoder.encode(value)));
    const expected = bytes(claims.pay);
    return hash.length === expected.length && crypto.subtle.timingSafeEqual(hash, expected);
}

function text(base64url) {
    return new TextDecoder().decode(bytes(base64url));
}

function bytes(base64url) {
    const binary = atob(base64url.replaceAll('-', '+').replaceAll('_', '/'));
    return Uint8Array.from(binary, character => character.charCodeAt(0));
}
