//! The rules of each language. Words are as recognisers write them: lower case, apostrophes inside.

use super::rules::{Endings, Rules};

pub(super) const OTHER: Rules = Rules {
    dangling: "",
    following: "",
    starting: "",
    beginning: "",
    clauses: "",
    always: "",
    opening: "",
    lead: "",
    questions: &[],
    endings: Endings::None,
    question_opens: "",
};

pub(super) const KOREAN: Rules = Rules { endings: Endings::Korean, ..OTHER };

const EN_AUXILIARY: &str = "is are was were am do does did can could will would shall should may might must has have \
     had isn't aren't wasn't weren't don't doesn't didn't can't couldn't won't wouldn't shouldn't haven't hasn't what's";
const EN_SUBJECT: &str = "i you he she it we they there this that these those the a an my your his her its our their \
     any anyone anybody everyone everybody somebody someone";

pub(super) const ENGLISH: Rules = Rules {
    dangling: "a an the of to in at by for with from into onto upon between among through during than as and or but \
         nor if because although though unless until whether while since that which who whose where when how my your \
         his her its our their every each very is are was were am be been being has have had can could \
         will would shall should may might must isn't aren't not i we they he she what's let's let it's that's \
         there's we're you're they're i'm i've we've i'll we'll gonna wanna about such both either per \
         um uh",
    following: "of to than is are was were am be been being has had have does did can could will would may might \
         must shall should into onto upon between among through during from by with at as or that which who whose \
         whom isn't aren't wasn't weren't doesn't didn't percent",
    starting: "i we he she they so now but then today last yesterday tomorrow let let's please thank thanks what why how who where first \
         firstly second secondly third thirdly next finally okay ok well remember suppose imagine consider notice \
         however therefore there here hello good welcome take look yes it's that's we're we've we'll i'm i'll i've \
         you're they're there's here's what's sometimes usually maybe perhaps again also only if when before after \
         once although while later meanwhile actually basically this don't do",
    beginning: "the a an these those you it my your his her its our their one two three some many most each every \
         all any another both no not because since until unless such more",
    clauses: "and but so because which although though whereas while yet or",
    always: "",
    opening: "if when before after although though while because since once unless until whenever in on at during \
         as under for with to inside outside without",
    lead: "so now and but okay ok well then first next finally",
    questions: &[
        &["what how why where who whom", EN_AUXILIARY],
        &["when which", EN_AUXILIARY, EN_SUBJECT],
        &["how", "fast much many long far often old big large small high deep quickly well do can", "*"],
        &["what", "kind sort type", "of"],
        &["which", "*", EN_AUXILIARY],
        &["why", "not"],
        &["what", "about"],
        &["what's why's who's where's how's"],
        &[
            "is are was were do does did can could will would should don't doesn't didn't isn't aren't can't",
            EN_SUBJECT,
        ],
        &["has have had", "i you he she it we they anyone anybody everyone"],
        &["may", "i"],
    ],
    ..OTHER
};

pub(super) const FRENCH: Rules = Rules {
    dangling: "le la les l' un une des du de d' à au aux en dans par pour sur sous avec sans chez vers entre et ou mais \
         donc or ni car que qu' qui dont où quand si s' comme lorsque lorsqu' puisque puisqu' parce mon ma mes ton ta \
         tes son sa ses notre nos votre vos leur leurs ce cet cette ces je j' tu il elle on nous ils elles ne n' se me \
         m' te t' y est sont était étaient a ont avait sera peut doit très plus quel quelle quels quelles chaque \
         c'est qu'est euh",
    following: "de du des d' à au aux et ou ni que qu' qui dont par sur sous est sont était étaient a ont avait avaient \
         sera seront peut peuvent doit doivent parce ne n' se s' en",
    starting: "je j' nous vous ils elles maintenant alors donc mais aujourd'hui bonjour bonsoir bienvenue merci premièrement \
         deuxièmement troisièmement ensuite enfin puis voici voilà c'est c'était ainsi cependant pourtant toutefois \
         bien regardez prenez imaginez supposons considérons notez rappelez-vous pourquoi comment combien qu'est-ce \
         est-ce il elle on cela ceci ça quand lorsque lorsqu' si parfois souvent seule seul seulement d'abord \
         passons commençons veuillez",
    beginning: "le la les l' un une ce cet cette ces mon ma mes notre nos votre vos son sa ses leur leurs dans pour avec \
         chaque tous toutes tout beaucoup quelques deux trois sans après avant",
    clauses: "et mais car donc or qui dont où ou parce puisque puisqu' alors tandis ce",
    always: "mais",
    opening: "si s' quand lorsque lorsqu' dans avant après comme puisque puisqu' pour sur sans en à au avec pendant",
    lead: "alors et mais donc or bon bien maintenant",
    questions: &[
        &["est-ce qu'est-ce pourquoi comment combien où"],
        &["est", "ce", "que qu'"],
        &["qu'est", "ce"],
        &["quel quelle quels quelles", "est sont était sera"],
        &["quel quelle quels quelles", "*", "est-ce"],
        &["qui que quand", "est-ce"],
        &["qui", "est sont a peut"],
        &[
            "avez-vous êtes-vous pouvez-vous voulez-vous savez-vous voyez-vous peut-on a-t-on y-a-t-il peut-il est-il est-elle",
        ],
        &["à", "quelle quel quoi qui"],
        &["de", "quelle quel quoi qui"],
    ],
    ..OTHER
};

const DE_VERB: &str = "ist sind war waren hat haben hatte kann können wird werden macht machen gibt gilt geht passiert \
     bedeutet heißt kommt soll sollen sollte muss müssen darf dürfen bewegt breitet löschen entsteht funktioniert \
     könnte könnten würde würden lässt tut sieht hängt";

pub(super) const GERMAN: Rules = Rules {
    dangling: "der die den dem des ein eine einen einem einer eines kein keine keinen mein meine dein sein seine ihr \
         ihre unser unsere euer in im am beim von vom zum zur für zwischen ohne gegen und oder aber sondern denn weil dass wenn ob als wie während obwohl damit ich wir ist sind \
         war waren hat haben kann wird werden sehr dieser diese dieses jeder jede jedes sowie pro äh ähm",
    following: "und oder als von vom zum zur dass ob wird werden worden sein haben",
    starting: "ich wir also nun jetzt heute dann danach hier da deshalb daher darum trotzdem außerdem zuerst erstens \
         zweitens drittens schließlich guten hallo willkommen danke vielen bitte nehmen schauen denken stellen beachten \
         warum wieso weshalb wann wo wer man letzte gut okay beginnen kommen manchmal wenn",
    beginning: "der die das den dem ein eine was wie diese dieser dieses im in bei mit für nach er sie es nur zwei drei \
         alle jede jeder licht bevor aber unsere unser auf",
    clauses: "aber sondern denn weil dass obwohl während damit sodass wobei indem bevor nachdem wenn ob und deren dessen",
    always: "dass weil obwohl sondern sodass wobei",
    opening: "wenn weil als obwohl während bevor nachdem da falls sobald damit",
    lead: "und aber also nun gut okay",
    questions: &[
        &[
            "was wie wann wo wer wen wem woher wohin wodurch womit",
            "!ich wir sie er es man du ihr der die das ein eine",
        ],
        &["welche welcher welches welchen", "*", DE_VERB],
        &["wie", "viel viele", "*"],
        &[
            "ist sind hat haben habt kann können könnt wird werden gibt darf muss müssen soll",
            "es sie wir ihr du ich man jemand",
        ],
        &["warum wieso weshalb"],
    ],
    ..OTHER
};

pub(super) const SPANISH: Rules = Rules {
    dangling: "el la los las un una unos unas de del a al en con por para sin sobre entre desde hasta y e o u pero sino ni \
         que quien cuyo si cuando como donde porque aunque mientras mi mis tu tus su sus nuestro nuestra nuestros \
         nuestras este esta estos estas ese esa cada muy más lo le les se me te nos es son era está están ha han",
    following: "de del a al y e o u que",
    starting: "yo nosotros ustedes vosotros ahora entonces hoy hola bienvenidos bienvenidas buenos buenas gracias primero \
         segundo tercero luego después finalmente pues así bueno vamos veamos empecemos tomen imaginen recuerden \
         pensemos qué cómo cuándo dónde quién cuál cuántos cuántas esto eso aquí además también sin embargo cuando si solo",
    beginning: "el la los las un una este esta estos estas nuestro nuestra en con para cada todos todas dos tres su sus \
         antes muchos muchas algunos algunas él ella ellos ellas es son hay por",
    clauses: "pero sino y porque aunque así cuando mientras pues donde",
    always: "pero sino",
    opening: "si cuando aunque mientras antes después como en para al porque",
    lead: "",
    questions: &[
        &["qué cómo cuándo dónde quién quiénes cuál cuáles cuánto cuánta cuántos cuántas"],
        &["por para con de a en desde", "qué quién cuál dónde cuándo cuánto"],
    ],
    question_opens: "¿",
    ..OTHER
};

pub(super) const PORTUGUESE: Rules = Rules {
    dangling: "o a os as um uma uns umas de do da dos das em no na nos nas num numa a ao à aos às com por pelo pela para \
         sem sobre entre desde até e ou mas nem que quem cujo se quando como onde porque embora enquanto meu minha \
         meus minhas seu sua seus suas nosso nossa nossos nossas este esta estes estas esse essa cada muito mais lhe me \
         é são era está estão foi há",
    following: "de do da dos das ao aos às e ou que se pelo pela",
    starting: "eu nós vocês agora então hoje olá bem-vindos bem-vindo bom boa obrigado obrigada primeiro segundo terceiro \
         depois finalmente assim bem vamos vejamos comecemos passemos imaginem lembrem-se isto isso aqui além também porém \
         contudo quando se só",
    beginning: "o a os as um uma este esta estes estas nosso nossa em no na num numa com para cada todos todas dois duas \
         três seu sua antes muitos muitas alguns algumas ele ela eles elas à é são há por como quanto quanta quantos quantas qual quais quem onde",
    clauses: "mas e porque embora enquanto pois onde por",
    always: "mas",
    opening: "se quando embora enquanto antes depois como em no na num numa para ao porque",
    lead: "e mas então agora bem ora",
    questions: &[
        &["qual quais quem", "é são era foi"],
        &["o", "que", "é são acontece significa quer"],
        &["que", "é"],
        &["como porque onde", "é são se podemos pode funciona surge acontece será"],
        &["por", "que", "*"],
        &["porquê"],
        &["a de em com", "que", "velocidade distância altura horas"],
        &["quanto quanta quantos quantas", "*"],
    ],
    ..OTHER
};

pub(super) const ITALIAN: Rules = Rules {
    dangling: "il lo la i gli le l' un uno una un' di del dello della dei degli delle dell' d' a al allo alla ai agli alle \
         all' da dal dallo dalla dai dagli dalle in nel nello nella nei negli nelle nell' con su sul sulla sui per tra \
         fra e ed o ma né che chi cui se quando come dove perché mentre sebbene anche mio mia tuo suo sua nostro nostra \
         questo questa questi queste ogni molto più non si mi ti ci vi è sono era ha hanno quest'",
    following: "di del dello della dei degli delle dell' a al alla e ed o che si da dal dalla",
    starting: "io noi voi adesso ora allora quindi oggi buongiorno buonasera benvenuti grazie primo secondo terzo poi infine \
         dunque così bene cominciamo vediamo prendete immaginate ricordate passiamo perché cosa qual quale qui inoltre anche \
         tuttavia però quando se solo questo ciò ecco chiamiamo",
    beginning: "il lo la i gli le l' un uno una un' questa questi queste in nel nella con per ogni tutti tutte due tre prima \
         molti molte alcuni alcune lui lei loro è sono c'è hanno come quanto quanta quanti quante chi dove quale quali cosa",
    clauses: "ma e perché mentre anche però quindi dove poiché",
    always: "ma",
    opening: "se quando sebbene mentre prima dopo come in nel nella nell' per poiché",
    lead: "e ma allora ora quindi dunque bene",
    questions: &[
        &["che", "cosa cos'è"],
        &["cosa", "!il lo la i gli le l' che"],
        &["cos'è com'è dov'è qual'è"],
        &["qual quale quali chi", "è sono era"],
        &["perché come dove", "è sono si fa fanno può possono possiamo funziona succede"],
        &["quanto quanta quanti quante", "*"],
        &["a con di in", "quale quali che", "velocità distanza altezza"],
    ],
    ..OTHER
};

const NL_VERB: &str = "is zijn was waren heeft hebben kan kunnen wordt worden gaat gaan doet doen betekent gebeurt komt \
     moet moeten mag werkt beweegt zou heten heet";

pub(super) const DUTCH: Rules = Rules {
    dangling: "de het een van met bij naar tussen zonder tegen tot te en of maar want \
         dus dat die als wanneer omdat hoewel terwijl mijn jouw zijn haar ons onze jullie hun deze dit elke elk ieder \
         heel erg meer ik we wij is was waren heeft kan wordt niet geen per eh",
    following: "en of van dan dat te om is was waren wordt worden heeft zijn kan",
    starting: "ik we wij nu vandaag dan dus hier daarom daarna eerst ten tenslotte goedemorgen goedemiddag hallo welkom \
         bedankt dank neem kijk stel laten denk onthoud waarom wanneer waar wie men er vorige soms als alleen",
    beginning: "de een wat hoe deze dit die in bij met voor na hij zij ze het twee drie alle elke voordat maar onze",
    clauses: "maar want omdat hoewel terwijl zodat en dus waardoor",
    always: "maar",
    opening: "als wanneer omdat hoewel terwijl voordat nadat zodra",
    lead: "en maar dus nu goed",
    questions: &[
        &["wat hoe waar wie waarmee waardoor", "!ik we wij je jij u hij ze zij het de een dit dat er"],
        &["hoe", "veel vaak lang"],
        &["welke welk", "*", NL_VERB],
        &["is zijn heeft hebben kan kunnen wordt gaat moet mag", "je jij u we wij er dit dat iemand het"],
        &["waarom"],
    ],
    ..OTHER
};
