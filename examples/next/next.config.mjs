export default {
  // Pages live here, whatever folders above have package.json files of their own.
  turbopack: { root: import.meta.dirname },
};
