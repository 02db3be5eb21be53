// grpc-js. Node finds its packages by NODE_PATH; --descriptor_set names the messages, as protoc's FileDescriptorSet.
"use strict";
const fs = require("node:fs");
const { parseArgs } = require("node:util");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const LARGE_REQUEST = 271828, LARGE_RESPONSE = 314159;
const CLIENT_STREAM = [27182, 8, 1828, 45904], SERVER_STREAM = [31415, 9, 2653, 58979];
const INITIAL = "x-grpc-test-echo-initial", TRAILING = "x-grpc-test-echo-trailing-bin";
const { CANCELLED, UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED, UNIMPLEMENTED } = grpc.status;
const NO_FLAG = "the sizes hold; the library does not tell whether a message came compressed";
const LACKS = { client_compressed_streaming: "grpc-js chooses compression for a channel, not for a message" };

const STRING = { type: "string" }, SWITCH = { type: "string", default: "false" };
const { values: flags, positionals: [side] } = parseArgs({
  allowPositionals: true,
  // The official switches stand alone or with =true.
  args: process.argv.slice(2).map((arg) => (/^--use_(tls|test_ca)$/.test(arg) ? `${arg}=true` : arg)),
  options: {
    port: { ...STRING, default: "10000" }, tls_cert_file: STRING, tls_key_file: STRING,
    server_host: { ...STRING, default: "localhost" }, server_port: { ...STRING, default: "10000" },
    server_host_override: STRING, test_case: { ...STRING, default: "large_unary" }, ca_file: STRING,
    use_tls: SWITCH, use_test_ca: SWITCH, descriptor_set: STRING,
    soak_iterations: { ...STRING, default: "10" }, soak_max_failures: { ...STRING, default: "0" },
    soak_per_iteration_max_acceptable_latency_ms: { ...STRING, default: "1000" },
    soak_overall_timeout_seconds: { ...STRING, default: "10" },
  },
});
const tls = flags.use_tls === "true";
const definition = loader.loadFileDescriptorSetFromBuffer(fs.readFileSync(flags.descriptor_set), {
  keepCase: true, longs: Number, defaults: true, oneofs: true,
});
const testing = grpc.loadPackageDefinition(definition).grpc.testing;
const payload = (size) => ({ body: Buffer.alloc(size) });

// --- server ----------------------------------------------------------------------------------------------------------

// EchoStatus, and payloads of a type that nobody knows: what to end the call with, or null.
function refusal(request) {
  const { code, message } = request.response_status ?? {};
  if (code) return { code, details: message };
  const known = request.response_type === "COMPRESSABLE" || request.response_type === 0;
  return known ? null : { code: INVALID_ARGUMENT, details: "an unsupported response_type" };
}

// EchoMetadata: sends the initial metadata, gives the trailing.
function echo(call) {
  const initial = new grpc.Metadata(), trailing = new grpc.Metadata();
  for (const value of call.metadata.get(INITIAL)) initial.add(INITIAL, value);
  for (const value of call.metadata.get(TRAILING)) trailing.add(TRAILING, value);
  call.sendMetadata(initial);
  return trailing;
}

async function respond(call, request) {
  const refused = refusal(request);
  if (refused) throw refused;
  for (const { size, interval_us } of request.response_parameters) {
    if (interval_us) await new Promise((wake) => setTimeout(wake, interval_us / 1000));
    call.write({ payload: payload(size) });
  }
}

// One after another, until the half-close. (An async iteration would destroy the call at its end, with the responses.)
function eachRequest(call, use) {
  return new Promise((done, failed) => {
    let last = Promise.resolve();
    call.on("data", (request) => { last = last.then(() => use(request)); last.catch(failed); });
    call.on("end", () => last.then(done, failed));
  });
}

// A handler of a method with streamed responses: `answer` may throw what to end the call with.
const streaming = (answer) => async (call) => {
  const trailing = echo(call);
  try {
    await answer(call);
    call.end(trailing);
  } catch (refused) {
    call.emit("error", { ...refused, metadata: trailing });
  }
};

const implementation = {
  EmptyCall: (call, answer) => answer(null, {}),
  UnaryCall(call, answer) {
    const trailing = echo(call), { request } = call, refused = refusal(request);
    if (refused) return answer({ ...refused, metadata: trailing });
    const server_id = request.fill_server_id ? `grpc-js-${process.pid}` : "";
    answer(null, { payload: payload(request.response_size), server_id }, trailing);
  },
  StreamingInputCall(call, answer) {
    const trailing = echo(call);
    let total = 0;
    call.on("data", (request) => { total += request.payload?.body.length ?? 0; });
    call.on("end", () => answer(null, { aggregated_payload_size: total }, trailing));
  },
  StreamingOutputCall: streaming((call) => respond(call, call.request)),
  FullDuplexCall: streaming((call) => eachRequest(call, (request) => respond(call, request))),
  HalfDuplexCall: streaming(async (call) => {
    const requests = [];
    await eachRequest(call, (request) => requests.push(request));
    for (const request of requests) await respond(call, request);
  }),
};

function serve() {
  const service = { ...testing.TestService.service };
  delete service.UnimplementedCall;
  delete service.CacheableUnaryCall;
  const server = new grpc.Server();
  server.addService(service, implementation);
  const pair = () => ({ cert_chain: fs.readFileSync(flags.tls_cert_file), private_key: fs.readFileSync(flags.tls_key_file) });
  const credentials = tls ? grpc.ServerCredentials.createSsl(null, [pair()]) : grpc.ServerCredentials.createInsecure();
  server.bindAsync(`127.0.0.1:${flags.port}`, credentials, (error, port) => {
    if (error) throw error;
    console.log(`listening on 127.0.0.1:${port}`);
  });
}

// --- client ----------------------------------------------------------------------------------------------------------

class Failed extends Error {}

function equal(what, came, wanted) {
  const [shown, expected] = [came, wanted].map((value) => JSON.stringify(value));
  if (shown !== expected) throw new Failed(`${what}: ${expected} expected, ${shown} came`);
}
const code = (result, wanted = 0) => {
  if (result.code !== wanted) throw new Failed(`status ${wanted} expected, ${result.code} came: ${JSON.stringify(result.message)}`);
};
const body = (response, size) => {
  if (!response) throw new Failed(`a response of ${size} bytes expected, none came`);
  equal("size of the response's body", response.payload.body.length, size);
};

function channel({ compressed = false, Service = testing.TestService } = {}) {
  const options = { "grpc.use_local_subchannel_pool": 1 };
  if (compressed) options["grpc.default_compression_algorithm"] = grpc.compressionAlgorithms.gzip;
  if (flags.server_host_override) {
    options["grpc.default_authority"] = flags.server_host_override;
    if (tls) options["grpc.ssl_target_name_override"] = flags.server_host_override;
  }
  const authority = flags.ca_file ? fs.readFileSync(flags.ca_file) : null;
  const credentials = tls ? grpc.credentials.createSsl(authority) : grpc.credentials.createInsecure();
  return new Service(`${flags.server_host}:${flags.server_port}`, credentials, options);
}

async function using(made, use) {
  try { return await use(made); } finally { made.close(); }
}

// How a call ends: a promise of {code, message, response, initial, trailing}.
function ended(call, result) {
  result.initial = new grpc.Metadata();
  call.on("metadata", (metadata) => { result.initial = metadata; });
  return new Promise((done) => call.on("status", ({ code, details, metadata }) =>
    done(Object.assign(result, { code, message: details, trailing: metadata }))));
}

function unary(client, method, request, metadata = new grpc.Metadata()) {
  const result = {};
  let answered;
  const response = new Promise((done) => { answered = done; });
  const call = client[method](request, metadata, (error, message) => { result.response = message; answered(); });
  return Promise.all([ended(call, result), response]).then(() => result);
}

// A duplex or server-streaming call: `responses` iterates, `result` is how it ends.
function responding(call) {
  const result = ended(call, {});
  call.on("error", () => {}); // the status says it
  const waiting = [], came = [];
  const give = (message) => (waiting.length ? waiting.shift()(message) : came.push(message));
  call.on("data", give);
  result.then(() => give(null));
  return { call, result, next: () => (came.length ? Promise.resolve(came.shift()) : new Promise((wake) => waiting.push(wake))) };
}

async function onlyBodies({ next, result }, sizes) {
  for (const size of sizes) body(await next(), size);
  equal("a response after the last", await next(), null);
  code(await result);
  return result;
}

const asking = (sizes, more = {}) => ({ response_parameters: sizes.map((size) => ({ size })), ...more });
const large = (more = {}) => ({ response_size: LARGE_RESPONSE, payload: payload(LARGE_REQUEST), ...more });

async function largeUnary(client, more) {
  const result = await unary(client, "UnaryCall", large(more));
  code(result);
  body(result.response, LARGE_RESPONSE);
}


async function soak(each) {
  const faults = [], until = Date.now() + 1000 * flags.soak_overall_timeout_seconds;
  for (let number = 0; number < Number(flags.soak_iterations); number++) {
    if (Date.now() > until) throw new Failed(`${number} of ${flags.soak_iterations} iterations within the overall timeout`);
    const started = Date.now();
    const result = await each((client) => unary(client, "UnaryCall", large()));
    const elapsed = Date.now() - started, size = result.response?.payload.body.length;
    if (result.code || size !== LARGE_RESPONSE || elapsed > Number(flags.soak_per_iteration_max_acceptable_latency_ms))
      faults.push(`iteration ${number}: status ${result.code}, ${size} bytes, ${elapsed} ms`);
  }
  if (faults.length > Number(flags.soak_max_failures)) throw new Failed(`${faults.length} iterations failed or were slow; ${faults[0]}`);
}

const CASES = {
  async empty_unary(client) {
    const result = await unary(client, "EmptyCall", {});
    code(result);
    equal("the response", result.response, {});
  },
  large_unary: (client) => largeUnary(client),
  async client_compressed_unary(client) {
    code(await unary(client, "UnaryCall", large({ expect_compressed: { value: true } })), INVALID_ARGUMENT);
    await using(channel({ compressed: true }), (packing) => largeUnary(packing, { expect_compressed: { value: true } }));
    await largeUnary(client, { expect_compressed: { value: false } });
  },
  async server_compressed_unary(client) {
    for (const value of [true, false]) await largeUnary(client, { response_compressed: { value } });
    return NO_FLAG;
  },
  async client_streaming(client) {
    const result = {};
    let answered;
    const response = new Promise((done) => { answered = done; });
    const call = client.StreamingInputCall((error, message) => { result.response = message; answered(); });
    const end = ended(call, result);
    for (const size of CLIENT_STREAM) call.write({ payload: payload(size) });
    call.end();
    await Promise.all([end, response]);
    code(result);
    equal("the sum of the sizes", result.response.aggregated_payload_size, 74922);
  },
  client_compressed_streaming() {},
  server_streaming: (client) => onlyBodies(responding(client.StreamingOutputCall(asking(SERVER_STREAM))), SERVER_STREAM),
  async server_compressed_streaming(client) {
    const response_parameters = [[31415, true], [92653, false]].map(([size, value]) => ({ size, compressed: { value } }));
    await onlyBodies(responding(client.StreamingOutputCall({ response_parameters })), [31415, 92653]);
    return NO_FLAG;
  },
  async ping_pong(client) {
    const duplex = responding(client.FullDuplexCall());
    for (const [index, size] of SERVER_STREAM.entries()) {
      duplex.call.write(asking([size], { payload: payload(CLIENT_STREAM[index]) }));
      body(await duplex.next(), size);
    }
    duplex.call.end();
    await onlyBodies(duplex, []);
  },
  async empty_stream(client) {
    const duplex = responding(client.FullDuplexCall());
    duplex.call.end();
    await onlyBodies(duplex, []);
  },
  async custom_metadata(client) {
    const metadata = new grpc.Metadata(), binary = Buffer.from("ababab", "hex");
    metadata.set(INITIAL, "test_initial_metadata_value");
    metadata.set(TRAILING, binary);
    const echoed = (result) => {
      code(result);
      equal("echo in initial metadata", result.initial.get(INITIAL), ["test_initial_metadata_value"]);
      equal("echo in trailing metadata", result.trailing.get(TRAILING), [binary]);
    };
    echoed(await unary(client, "UnaryCall", large(), metadata));
    const duplex = responding(client.FullDuplexCall(metadata));
    duplex.call.write(asking([LARGE_RESPONSE], { payload: payload(LARGE_REQUEST) }));
    duplex.call.end();
    echoed(await onlyBodies(duplex, [LARGE_RESPONSE]));
  },
  async status_code_and_message(client) {
    const response_status = { code: UNKNOWN, message: "test status message" };
    const duplex = responding(client.FullDuplexCall());
    duplex.call.write({ response_status });
    duplex.call.end();
    for (const result of [await unary(client, "UnaryCall", { response_status }), await duplex.result]) {
      code(result, UNKNOWN);
      equal("the status message", result.message, response_status.message);
    }
  },
  async special_status_message(client) {
    const message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n";
    const result = await unary(client, "UnaryCall", { response_status: { code: UNKNOWN, message } });
    code(result, UNKNOWN);
    equal("the status message", result.message, message);
  },
  unimplemented_method: async (client) => code(await unary(client, "UnimplementedCall", {}), UNIMPLEMENTED),
  unimplemented_service: () => using(channel({ Service: testing.UnimplementedService }), async (client) =>
    code(await unary(client, "UnimplementedCall", {}), UNIMPLEMENTED)),
  async cancel_after_begin(client) {
    const call = client.StreamingInputCall(() => {}), result = ended(call, {});
    call.cancel();
    code(await result, CANCELLED);
  },
  async cancel_after_first_response(client) {
    const duplex = responding(client.FullDuplexCall());
    duplex.call.write(asking([31415], { payload: payload(27182) }));
    body(await duplex.next(), 31415);
    duplex.call.cancel();
    code(await duplex.result, CANCELLED);
  },
  async timeout_on_sleeping_server(client) {
    const duplex = responding(client.FullDuplexCall(new grpc.Metadata(), { deadline: Date.now() + 1 }));
    duplex.call.write({ payload: payload(27182) });
    code(await duplex.result, DEADLINE_EXCEEDED);
  },
  async pick_first_unary(client) {
    const seen = new Set();
    for (let number = 0; number < 100; number++) {
      const result = await unary(client, "UnaryCall", { response_size: 1, payload: payload(1), fill_server_id: true });
      code(result);
      seen.add(result.response.server_id);
    }
    if (seen.size !== 1 || seen.has("")) throw new Failed(`one server_id expected in every response, ${[...seen]} came`);
  },
  rpc_soak: (client) => soak((each) => each(client)),
  channel_soak: () => soak((each) => using(channel(), each)),
};

async function run() {
  const names = flags.test_case === "all" ? Object.keys(CASES) : flags.test_case.split(",");
  const unknown = names.filter((name) => !Object.hasOwn(CASES, name));
  if (unknown.length) {
    console.error(`no case ${unknown}; there are ${Object.keys(CASES)}`);
    process.exit(2);
  }
  const client = channel();
  for (const name of names) {
    const started = performance.now();
    let outcome = "passed", said = LACKS[name];
    if (said) outcome = "skipped";
    else {
      try {
        said = await CASES[name](client);
      } catch (error) {
        outcome = "failed";
        process.exitCode = 1;
        said = String(error instanceof Failed ? error.message : error.stack).replace(/\s+/g, " ");
      }
    }
    const took = String(Math.round(performance.now() - started)).padStart(6);
    console.log(`${name.padEnd(27)}  ${outcome.padEnd(7)}  ${took} ms${typeof said === "string" ? `\n    ${said}` : ""}`);
  }
  client.close();
}

if (side === "server") serve();
else if (side === "client") run();
else {
  console.error("usage: node grpc_js_peer.js server|client --descriptor_set=FILE [the official flags]");
  process.exitCode = 2;
}
