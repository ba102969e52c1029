//! A token of each public-key algorithm, with the key that verifies it. The private keys were not kept: with the
//! same bytes each time, counts of instructions can be compared.

/// Public key and token.
pub const ES256: [&str; 2] = [
    "-----BEGIN PUBLIC KEY-----\n\
     MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEfsl/j/6O795V5yF0QcwfBPX6abKw\n\
     G9bfYPvOBcKSyBADLvweUBlaYM93a/3Xoi0F4t6yZUbEmbw/yUQpjiFUkA==\n\
     -----END PUBLIC KEY-----\n",
    "eyJhbGciOiJFUzI1NiIsImtpZCI6ImsxIiwidHlwIjoiSldUIn0.eyJleHAiOjQxMDI0NDQ4MDAsImlwIjoiMS4yLjMuNCIsImRpZCI6IkV4YW1wbGVBcHByb292VG9rZW5ESUQ9PSIsInBheSI6IkJ3Y0hCd2NIQndjSEJ3Y0hCd2NIQndjSEJ3Y0hCd2NIQndjSEJ3Y0hCd2M9In0.wgnxHitV6w-94p4zmNCPl2qF91f4Ut4oxY8n6ue9aLJ9zSdf1IabgVFecuQUyccG9BggKrVRiUtzlrEZWXpI2A",
];

/// Public key and token.
pub const RS256: [&str; 2] = [
    "-----BEGIN PUBLIC KEY-----\n\
     MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA34rRL/rhO54XBn+XpCDH\n\
     RolnRpFtmTjOCxXS39nxHi5kqxEkB4hacWzOst5QcYCTJlKjoD9ujfTnVPgRTKAC\n\
     516HLt7+Uf81X4KBjPIdgvR4kRASoOX+tQt2taL7Xg7cX2xLCvZN4uZc5GPvMtqa\n\
     UMjxYP0RvM+LvEZFal3Odxojl1T+UAKfRKDhlznWsgJ8c6H9TEA1VjqOZQ3sD4Tp\n\
     bMczZRocmrn54qLBItM2w6BHigPoQrbzt4spfatoTZF89HvYtqg8exixKpeefPzR\n\
     /nBkVAnvLE/6HELaL1YloyEHQmhaxfyXfWZ7eXM9i1KZQMpdLOA7Rw/yOse8Kkiy\n\
     5QIDAQAB\n\
     -----END PUBLIC KEY-----\n",
    "eyJhbGciOiJSUzI1NiIsImtpZCI6ImsxIiwidHlwIjoiSldUIn0.eyJleHAiOjQxMDI0NDQ4MDAsImlwIjoiMS4yLjMuNCIsImRpZCI6IkV4YW1wbGVBcHByb292VG9rZW5ESUQ9PSIsInBheSI6IkJ3Y0hCd2NIQndjSEJ3Y0hCd2NIQndjSEJ3Y0hCd2NIQndjSEJ3Y0hCd2M9In0.MHI4QJY_HkUCKLkUPkB_5C6xcbvp3xXm3nRPlft0NxYvQHC5sKKnBoycQwVbgdPwiHV7LFKFdwEEdJMJxzyCA5oUEmc3wZSirHbke-BCFLIj6mprorQfRD8P8Lzkwrsx9rZDxKKObpidIqmXi3byhrpZNEiIy7tKaLLDyP_xqX0M46Mw9uzVETZK9AKz18RDDwF9rxaGPpj00xbHUwJV4tiDJS4szuZg9Twhp_-H2NxbfctJhO7pXcEf_jkv4yfO5in-0Px4dAYyu2WFxec8qlyN4HS55toXf7IgLm1YXkc9K0MfYLkFoZPAQjgU_K-yaA8LGiWgd-qc1Is9ABCiPA",
];
