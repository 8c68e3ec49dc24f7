export { CLIENT_ERRORS, ClientError, type ClientErrorCode } from "./errors.js";
