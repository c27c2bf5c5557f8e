// What to do about an error, in words. Pure.

/** What to do next, or nothing where the server's own words say it. */
export function advice(error) {
  if (/hint:/i.test(error.message ?? "")) return null;
  switch (error.status) {
    case 0:
      return "See whether ponder serve is still running, then ask again.";
    case 400:
    case 422:
      return error.param ? `Change “${error.param}” and ask again.` : "Change the question or the settings and ask again.";
    case 401:
    case 403:
      return "Ask again and enter the API key that the server was started with.";
    case 404:
      return "Choose another model above.";
    case 413:
      return "Ask something shorter, or begin a new conversation.";
    case 429:
    case 503: {
      const wait = error.retryAfter ? `in ${error.retryAfter} s` : "in a moment";
      return `The server has much to do. Ask again ${wait}.`;
    }
    default:
      return "Ask again; if it stays so, the server's log says more.";
  }
}

/** The server's words and its hint, apart. */
export function split(message) {
  const at = message.search(/\s*;?\s*hint:\s*/i);
  if (at < 0) return { what: message, hint: null };
  return { what: message.slice(0, at), hint: sentence(message.slice(at).replace(/^\s*;?\s*hint:\s*/i, "")) };
}

function sentence(text) {
  const upper = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(upper) ? upper : `${upper}.`;
}
