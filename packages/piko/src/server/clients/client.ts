/** Whose connection it is. */
export interface Client {
  /** For logs and X-Forwarded-For: the peer's address, or what a PROXY protocol header says. */
  readonly address: string;
  /** A trusted proxy. */
  readonly trusted: boolean;
  /** It speaks TLS with this node. */
  readonly secure: boolean;
  /** The connection counts as one of this address. */
  readonly counted: boolean;
  /** It has no PROXY protocol header where there has to be one, so it is good for requests of other nodes alone. */
  readonly hopsOnly?: boolean;
  /** Another node has sent a request on this connection. */
  readonly onHop?: () => void;
}
