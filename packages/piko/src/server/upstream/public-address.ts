// The fields of the 101 that report to our agents at which address clients reach their endpoint.

import { publicUrlOf } from "../../base/public-url.js";

export class PublicAddress {
  readonly #template: string;
  #port = "";

  /** `template`: the value of `proxy.public_url`; empty for none. */
  constructor(template: string) {
    this.#template = template;
  }

  /** Sets the number of the bound proxy port. `tls`: whether it accepts TLS. */
  setProxyPort(port: number, tls: boolean): void {
    this.#port = `x-piko-proxy-port: ${port}${tls ? ";tls" : ""}\r\n`;
  }

  /** Field lines of the 101, each with its CRLF: the endpoint's URL, or else the number of the proxy port. */
  fieldsFor(endpointId: string): string {
    const url = this.#template === "" ? undefined : publicUrlOf(this.#template, endpointId);
    return url === undefined ? this.#port : `x-piko-url: ${url}\r\n`;
  }
}
