// gRPC with `@grpc/grpc-js`, service and client, without generated code: messages are bytes.

import {
  type Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  type ClientUnaryCall,
  type ClientWritableStream,
  credentials,
  makeGenericClientConstructor,
  Metadata,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceError,
  Server,
  ServerCredentials,
  type sendUnaryData,
  type ServiceDefinition,
} from "@grpc/grpc-js";
import { eventually } from "./deadline.js";
import type { Stage } from "./stage.js";

/** The status codes of gRPC that tests check. */
export const status = {
  OK: 0,
  CANCELLED: 1,
  DEADLINE_EXCEEDED: 4,
  FAILED_PRECONDITION: 9,
  UNIMPLEMENTED: 12,
  UNAVAILABLE: 14,
} as const;

const asIs = (bytes: Buffer): Buffer => bytes;
const bytes = {
  requestSerialize: asIs,
  requestDeserialize: asIs,
  responseSerialize: asIs,
  responseDeserialize: asIs,
};
const method = (name: string, requestStream: boolean, responseStream: boolean) => ({
  path: `/piko.test.Echo/${name}`,
  requestStream,
  responseStream,
  ...bytes,
});

const ECHO = {
  unary: method("Unary", false, false),
  collect: method("Collect", true, false),
  repeat: method("Repeat", false, true),
  chat: method("Chat", true, true),
  hang: method("Hang", false, true),
  fail: method("Fail", false, false),
} satisfies ServiceDefinition;

/** More than gRPC's default of 4 MiB for each message. */
const MAX_MESSAGE_BYTES = 128 * 1024 * 1024;
const SIZES = {
  "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
  "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
  "grpc.max_metadata_size": 64 * 1024,
};

type Unary = ServerUnaryCall<Buffer, Buffer>;

/** A service that echoes messages, and counts cancelled calls. */
export class GrpcService {
  readonly server: Server = new Server(SIZES);
  addr = "";
  cancelled = 0;
  hanging = 0;

  static async start(stage: Stage): Promise<GrpcService> {
    const service = new GrpcService();
    const { server } = service;
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) => {
        if (error === null) resolve(bound);
        else reject(error);
      });
    });
    stage.defer(() => server.forceShutdown());
    service.addr = `127.0.0.1:${port}`;
    return service;
  }

  /** A service without a port; the test supplies its connections. */
  constructor() {
    this.server.addService(ECHO, {
      unary: (call: Unary, callback: sendUnaryData<Buffer>) => {
        const { metadata } = call;
        const back = new Metadata();
        for (const value of metadata.get("x-echo")) back.add("x-echo", value);
        for (const value of metadata.get("x-echo-bin")) back.add("x-echo-bin", value);
        call.sendMetadata(back);
        const trailer = new Metadata();
        for (const value of metadata.get("x-echo")) trailer.add("x-trailer", value);
        callback(null, call.request, trailer);
      },
      collect: (call: ServerReadableStream<Buffer, Buffer>, callback: sendUnaryData<Buffer>) => {
        let count = 0;
        call.on("data", () => count++);
        call.on("end", () => callback(null, Buffer.from(String(count))));
      },
      repeat: (call: ServerWritableStream<Buffer, Buffer>) => {
        const count = Number(call.request.toString());
        for (let i = 0; i < count; i++) call.write(Buffer.from(`message ${i}`));
        call.end();
      },
      chat: (call: ServerDuplexStream<Buffer, Buffer>) => {
        call.on("cancelled", () => this.cancelled++);
        call.on("error", () => {});
        call.on("data", (message: Buffer) => call.write(message));
        call.on("end", () => call.end());
      },
      hang: (call: ServerWritableStream<Buffer, Buffer>) => {
        this.hanging++;
        call.on("cancelled", () => this.cancelled++);
      },
      fail: (call: Unary, callback: sendUnaryData<Buffer>) => {
        const metadata = new Metadata();
        metadata.set("x-why", "because");
        const code = Number(call.request.toString());
        callback({ code, details: "größer als 0", metadata } as unknown as ServiceError);
      },
    });
  }
}

type Callback = (error: ServiceError | null, answer?: Buffer) => void;

/** The client that grpc-js generates from the methods. */
interface EchoStub extends Client {
  unary(message: Buffer, metadata: Metadata, options: object, callback: Callback): ClientUnaryCall;
  fail(message: Buffer, callback: Callback): ClientUnaryCall;
  collect(callback: Callback): ClientWritableStream<Buffer>;
  repeat(message: Buffer): ClientReadableStream<Buffer>;
  hang(message: Buffer, metadata: Metadata, options: object): ClientReadableStream<Buffer>;
  chat(metadata: Metadata, options: object): ClientDuplexStream<Buffer, Buffer>;
}

const EchoStub = makeGenericClientConstructor(ECHO, "Echo") as unknown as new (
  ...args: ConstructorParameters<typeof Client>
) => EchoStub;

/** The result of a unary call. */
export interface UnaryAnswer {
  readonly message: Buffer;
  readonly metadata: Metadata;
  readonly trailers: Metadata;
}

/** A client of an endpoint. */
export class GrpcClient {
  readonly stub: EchoStub;

  /** `options` are channel arguments. */
  constructor(stage: Stage, proxy: string, endpoint: string, options: Record<string, number | string> = {}) {
    const authority = { "grpc.default_authority": `${endpoint}.example.com` };
    this.stub = new EchoStub(proxy, credentials.createInsecure(), { ...SIZES, ...authority, ...options });
    stage.defer(() => this.stub.close());
  }

  unary(message: Buffer | string, metadata = new Metadata(), options: object = {}): Promise<UnaryAnswer> {
    return new Promise((resolve, reject) => {
      let head = new Metadata();
      let answer: Buffer | undefined;
      const call = this.stub.unary(Buffer.from(message as string), metadata, options, (error, bytesOf) => {
        if (error === null) answer = bytesOf;
        else reject(error);
      });
      call.on("metadata", (fields: Metadata) => (head = fields));
      call.on("status", ({ metadata: trailers }) => {
        if (answer !== undefined) resolve({ message: answer, metadata: head, trailers });
      });
    });
  }

  /** The error of a call that fails with this code. */
  fail(code: number): Promise<ServiceError> {
    return new Promise((resolve, reject) => {
      this.stub.fail(Buffer.from(String(code)), (error) => {
        if (error === null) reject(new Error("no error"));
        else resolve(error);
      });
    });
  }

  /** Waits until the endpoint answers. */
  async ready(): Promise<void> {
    await eventually(
      () =>
        this.unary("probe").then(
          () => true,
          () => false,
        ),
      "an answer of the service",
    );
  }
}

/** The status code that a stream ends with. */
export function codeOf(
  call: ClientReadableStream<Buffer> | ClientDuplexStream<Buffer, Buffer>,
): Promise<number> {
  return new Promise((resolve) => {
    call.on("error", () => {});
    call.on("status", ({ code }) => resolve(code));
    call.resume();
  });
}

export { Metadata };
