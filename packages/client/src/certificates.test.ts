import { readFileSync } from "node:fs";
import { rootCertificates } from "node:tls";
import { CertificateWorkshop } from "@piko/testkit";
import { afterAll, describe, expect, it } from "vitest";
import { parseCertificates } from "./certificates.js";

const workshop = new CertificateWorkshop();
afterAll(() => workshop[Symbol.dispose]());
const [one, other] = ["one", "other"].map((name) =>
  readFileSync(workshop.authority(name).cert, "latin1"),
) as [string, string];

describe("certificates", () => {
  it("are found between other text, in their order", () => {
    const found = parseCertificates(`# our own\n${one}\r\n# another\n${other}end`);
    expect(found.map(({ subject }) => subject)).toEqual(["CN=one", "CN=other"]);
  });

  it("may have the older labels", () => {
    for (const label of ["X509 CERTIFICATE", "TRUSTED CERTIFICATE"]) {
      expect(parseCertificates(one.replaceAll("CERTIFICATE", label))).toHaveLength(1);
    }
  });

  it("may be as many as Node's own", () => {
    expect(parseCertificates(rootCertificates.join("\n"))).toHaveLength(rootCertificates.length);
  });

  it.each([
    ["an empty text", "", "no certificate in it"],
    ["a blank text", "\n", "no certificate in it"],
    ["something else", "none", "no certificate in it"],
  ])("aren't found in %s", (_what, pem, error) => {
    expect(() => parseCertificates(pem)).toThrow(error);
  });

  it("are all complete, wherever the text is cut off", () => {
    const both = `${one}${other}`;
    for (let length = 0; length < both.length; length++) {
      const left = both.slice(0, length).trimEnd();
      // Where the first one ends, nothing shows that another one follows.
      if (left.endsWith("-----END CERTIFICATE-----")) continue;
      // Less than the beginning of the second one's first line isn't recognized as such.
      if (length >= one.length && length - one.length < "-----BEGIN CERTIFICATE-----".length) continue;
      expect(() => parseCertificates(left)).toThrow(/no certificate in it|incomplete/);
    }
  });

  it("are rejected if one isn't a certificate", () => {
    expect(() =>
      parseCertificates(`${one}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`),
    ).toThrow();
  });
});
