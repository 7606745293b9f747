//! Number words of each language, and how its numbers are written.

use crate::model::LanguageTag;

/// A language's number words. Lists are in the order of what they mean, with spaces between; `/` stands
/// between words that mean the same, `-` for nothing.
#[derive(Debug)]
pub(super) struct Numerals {
    /// 0 to 19.
    pub small: &'static str,
    /// 10, 20, 30, … 90; 10 is among the small ones.
    pub tens: &'static str,
    /// 100, 200, … 900 where they have words of their own.
    pub hundreds: &'static str,
    /// Multiply by a hundred, a thousand.
    pub hundred: &'static str,
    pub thousand: &'static str,
    /// Stay words behind digits: million, billion.
    pub large: &'static str,
    /// Joins parts of a number.
    pub and: And,
    /// A hundred and a thousand may stand without a number before them.
    pub bare: bool,
    /// Between a whole number and its decimals: as it is said, and as it is written.
    pub point: (&'static str, char),
    /// As they are said, and what stands before the sign.
    pub percent: &'static str,
    pub percent_apart: bool,
    /// Between thousands, from 10,000 on.
    pub group: &'static str,
    /// Whole numbers less than this stay words.
    pub least: u64,
    /// Words are written together: siebenundneunzig.
    pub joined: bool,
    /// 21 to 29 where they have words of their own.
    pub twenties: &'static str,
    /// No unit stands behind tens without `and`.
    pub strict: bool,
    /// As in English: 21st of twenty-first, 1998 of nineteen ninety-eight, 100 of a hundred.
    pub english: bool,
}

/// Where a language says `and` within a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum And {
    /// Behind a hundred or a thousand: three hundred and forty.
    Hundred(&'static str),
    /// Behind tens: vingt et un, treinta y uno.
    Tens(&'static str),
    /// Behind anything larger: trezentos e quarenta e dois.
    Any(&'static str),
    /// Before tens, behind what is less than ten: siebenundneunzig.
    Reversed(&'static str),
}

const ENGLISH: Numerals = Numerals {
    small: "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen \
         seventeen eighteen nineteen",
    tens: "- twenty thirty forty fifty sixty seventy eighty ninety",
    hundreds: "",
    hundred: "hundred",
    thousand: "thousand",
    large: "million billion trillion",
    and: And::Hundred("and"),
    bare: false,
    point: ("point", '.'),
    percent: "percent/per cent",
    percent_apart: false,
    group: ",",
    least: 10,
    joined: false,
    twenties: "",
    strict: false,
    english: true,
};

const FRENCH: Numerals = Numerals {
    small: "zéro un/une deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize dix-sept \
         dix-huit dix-neuf",
    tens: "- vingt/vingts trente quarante cinquante soixante septante huitante/octante nonante",
    hundred: "cent/cents",
    thousand: "mille",
    large: "million millions milliard milliards",
    and: And::Tens("et"),
    bare: true,
    point: ("virgule", ','),
    percent: "pour cent/pourcent",
    percent_apart: true,
    group: "",
    english: false,
    ..ENGLISH
};

const GERMAN: Numerals = Numerals {
    small: "null ein/eins/eine zwei/zwo drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn \
         sechzehn siebzehn achtzehn neunzehn",
    tens: "- zwanzig dreißig/dreissig vierzig fünfzig sechzig siebzig achtzig neunzig",
    hundred: "hundert",
    thousand: "tausend",
    large: "million millionen milliarde milliarden",
    and: And::Reversed("und"),
    bare: true,
    point: ("komma", ','),
    percent: "prozent",
    percent_apart: true,
    group: ".",
    least: 13,
    joined: true,
    english: false,
    ..ENGLISH
};

const SPANISH: Numerals = Numerals {
    small: "cero un/uno/una dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciséis \
         diecisiete dieciocho diecinueve",
    tens: "- veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa",
    hundreds: "cien/ciento doscientos/doscientas trescientos/trescientas cuatrocientos/cuatrocientas \
         quinientos/quinientas seiscientos/seiscientas setecientos/setecientas ochocientos/ochocientas \
         novecientos/novecientas",
    hundred: "",
    thousand: "mil",
    large: "millón millones",
    and: And::Tens("y"),
    bare: true,
    point: ("coma", ','),
    percent: "por ciento",
    percent_apart: true,
    group: ".",
    twenties: "veintiuno/veintiún/veintiuna veintidós veintitrés veinticuatro veinticinco veintiséis veintisiete \
         veintiocho veintinueve",
    strict: true,
    english: false,
    ..ENGLISH
};

const PORTUGUESE: Numerals = Numerals {
    small: "zero um/uma dois/duas três quatro cinco seis sete oito nove dez onze doze treze catorze/quatorze quinze \
         dezasseis/dezesseis dezassete/dezessete dezoito dezanove/dezenove",
    tens: "- vinte trinta quarenta cinquenta sessenta setenta oitenta noventa",
    hundreds: "cem/cento duzentos/duzentas trezentos/trezentas quatrocentos/quatrocentas quinhentos/quinhentas \
         seiscentos/seiscentas setecentos/setecentas oitocentos/oitocentas novecentos/novecentas",
    thousand: "mil",
    large: "milhão milhões bilhão bilhões",
    and: And::Any("e"),
    point: ("vírgula", ','),
    percent: "por cento",
    percent_apart: false,
    twenties: "",
    ..SPANISH
};

const ITALIAN: Numerals = Numerals {
    small: "zero un/uno/una due tre/tré quattro cinque sei sette otto nove dieci undici dodici tredici quattordici quindici \
         sedici diciassette diciotto diciannove",
    tens: "- venti/vent trenta/trent quaranta/quarant cinquanta/cinquant sessanta/sessant settanta/settant \
         ottanta/ottant novanta/novant",
    hundreds: "",
    hundred: "cento/cent",
    thousand: "mila/mille",
    large: "milione milioni miliardo miliardi",
    and: And::Tens("e"),
    point: ("virgola", ','),
    percent: "per cento/percento",
    percent_apart: false,
    joined: true,
    twenties: "",
    strict: false,
    ..SPANISH
};

const DUTCH: Numerals = Numerals {
    small: "nul een/één twee drie vier vijf zes zeven acht negen tien elf twaalf dertien veertien vijftien zestien zeventien \
         achttien negentien",
    tens: "- twintig dertig veertig vijftig zestig zeventig tachtig negentig",
    hundreds: "",
    hundred: "honderd",
    thousand: "duizend",
    large: "miljoen miljard",
    and: And::Reversed("en/ën"),
    point: ("komma", ','),
    percent: "procent",
    percent_apart: false,
    least: 21,
    joined: true,
    twenties: "",
    strict: false,
    ..SPANISH
};

impl Numerals {
    /// Those of a language, if there are any.
    pub fn of(lang: &LanguageTag) -> Option<&'static Self> {
        Some(match lang.primary() {
            "en" => &ENGLISH,
            "fr" => &FRENCH,
            "de" => &GERMAN,
            "es" => &SPANISH,
            "pt" => &PORTUGUESE,
            "it" => &ITALIAN,
            "nl" => &DUTCH,
            _ => return None,
        })
    }
}
