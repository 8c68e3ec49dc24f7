// What the 101 tells agents of ours about the address at which clients reach their endpoint.

import { publicUrlOf } from "../../base/public-url.js";

export class PublicAddress {
  readonly #template: string;
  #port = "";

  /** `template`: as in `proxy.public_url`; empty for none. */
  constructor(template: string) {
    this.#template = template;
  }

  /** The proxy port is bound. `tls`: it speaks TLS. */
  setProxyPort(port: number, tls: boolean): void {
    this.#port = `x-piko-proxy-port: ${port}${tls ? ";tls" : ""}\r\n`;
  }

  /** Lines of the 101, each with its CRLF: the endpoint's URL, else the number of the proxy port. */
  fieldsFor(endpointId: string): string {
    const url = this.#template === "" ? undefined : publicUrlOf(this.#template, endpointId);
    return url === undefined ? this.#port : `x-piko-url: ${url}\r\n`;
  }
}
