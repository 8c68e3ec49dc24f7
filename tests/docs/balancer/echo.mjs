// The gRPC service for the load balancer tests: one method, whose messages are bytes.

const asIs = (bytes) => bytes;

export const ECHO = {
  chat: {
    path: "/test.Echo/Chat",
    requestStream: true,
    responseStream: true,
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  },
};
