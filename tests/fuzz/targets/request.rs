#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| approov_gateway_fuzz::request::holds(data));
