import { BlockList, isIP } from 'node:net';

/** Networks that are not the internet's: a source there must be allowed by name of its network (RFC 6890 and successors). */
const specialNetworks = [
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '::1/128',
  '64:ff9b::/96',
  '64:ff9b:1::/48',
  '100::/64',
  '2001::/23',
  '2001:db8::/32',
  '2002::/16',
  'fc00::/7',
];

/** Never a hospital: this host, link-local with the clouds' metadata services, multicast, reserved. */
const forbiddenNetworks = [
  '0.0.0.0/8',
  '169.254.0.0/16',
  '224.0.0.0/4',
  '240.0.0.0/4',
  '100.100.100.200/32',
  '::/128',
  'fe80::/10',
  'fec0::/10',
  'ff00::/8',
  'fd00:ec2::/32',
];

/**
 * Which IP addresses may be connected to: public ones, and private ones inside `allowedNetworks`.
 * @param allowedNetworks addresses or networks in CIDR notation.
 * @throws TypeError naming the entry that is no network.
 */
export function createAddressPolicy(allowedNetworks: readonly string[]): (address: string) => boolean {
  const allowed = blockList(allowedNetworks);
  const special = blockList(specialNetworks);
  const forbidden = blockList(forbiddenNetworks);
  return (address) => {
    const plain = unmapped(address);
    const family = isIP(plain) === 6 ? 'ipv6' : 'ipv4';
    if (isIP(plain) === 0 || forbidden.check(plain, family)) return false;
    return allowed.check(plain, family) || !special.check(plain, family);
  };
}

/** Which addresses lie in one of these networks (CIDR). @throws TypeError naming the entry that is no network. */
export function networksContain(networks: readonly string[]): (address: string) => boolean {
  const list = blockList(networks);
  return (address) => {
    const plain = unmapped(address);
    return isIP(plain) !== 0 && list.check(plain, isIP(plain) === 6 ? 'ipv6' : 'ipv4');
  };
}

/** True for an address or a network in CIDR notation. */
export function isNetwork(network: string): boolean {
  const [address = '', prefix, ...more] = network.split('/');
  const bits = isIP(address) === 6 ? 128 : 32;
  return (
    isIP(address) !== 0 && more.length === 0 && (prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= bits))
  );
}

function blockList(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    if (!isNetwork(network)) throw new TypeError(`'${network}' is no network in CIDR notation`);
    const [address = '', prefix] = network.split('/');
    const isV6 = isIP(address) === 6;
    list.addSubnet(address, prefix === undefined ? (isV6 ? 128 : 32) : Number(prefix), isV6 ? 'ipv6' : 'ipv4');
  }
  return list;
}

/** IPv4 addresses that are written as IPv6 (`::ffff:127.0.0.1`, `::ffff:7f00:1`) are judged as IPv4. */
function unmapped(address: string): string {
  const bare = address.replace(/^\[|\]$/g, '').replace(/%.*$/, '');
  if (isIP(bare) !== 6) return bare;
  const canonical = new URL(`http://[${bare}]`).hostname.slice(1, -1);
  const hex = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(canonical);
  if (!hex) return canonical;
  const number = Number.parseInt(hex[1]!, 16) * 0x10000 + Number.parseInt(hex[2]!, 16);
  return [24, 16, 8, 0].map((shift) => (number >>> shift) & 0xff).join('.');
}
